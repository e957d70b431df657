"""Where the time of an evaluation goes."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from vtdl_cli.data.hdf5.scores import ClipSpool
from vtdl_cli.engine.bench.inference import Pass, bench_pass
from vtdl_cli.engine.evaluate.measurement import Measurement, average_views, load_tested_network, prepare_measurement
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.inference import Collected, collect
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.runtime import Reporter


def bench_evaluate(
    weights: str,
    source: ListSource,
    execution: Execution,
    reporter: Reporter,
    protocol: Protocol,
    assignments: Sequence[str] = (),
    *,
    repeats: int = 3,
) -> dict[str, Any]:
    """Time an evaluation, up to the scores, and its parts; nothing is written.

    Args:
        weights: run folder or checkpoint with a classifier.
        source: the list.
        execution: device and workers.
        reporter: warns, and shows progress.
        protocol: clips and crops of each video.
        assignments: `section.key=value` on top of the configuration in the weights.
        repeats: of all passes.

    Returns:
        The protocol, and see `bench_pass`.

    Raises:
        UsageError, ListError, CheckpointError: list and weights do not fit together, or no video can be read.
    """
    tested = load_tested_network(weights, protocol, assignments, reporter.warn)
    test = prepare_measurement(tested, source, execution, protocol, reporter)
    bad_videos = BadVideos(len(test.videos), test.source.config.data.max_bad_fraction)
    timed = pass_of(test)
    result = bench_pass(timed, lambda: score_videos(test, bad_videos, reporter), bad_videos, reporter, repeats)
    return {"protocol": test.plan["protocol"], **result}


def pass_of(test: Measurement) -> Pass:
    """Return the pass that a measurement makes, with its network on the device."""
    config, network = test.source.config, test.machine.place(test.network)
    return Pass(test.dataset, test.views, test.batch_clips, network, test.machine, config, config.finetune)


def score_videos(test: Measurement, bad_videos: BadVideos, reporter: Reporter) -> Collected:
    """Evaluate, up to the scores of all videos."""
    shape = test.views, test.source.num_classes
    with closing(ClipSpool(Path(tempfile.gettempdir()), shape)) as spool:  # an unlinked file: nothing is left
        return collect(average_views(test, spool), bad_videos, reporter, test.plan["protocol"])
