"""Where the time of an extraction goes."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.engine.bench.inference import Pass, bench_pass
from vtdl_cli.engine.evaluate.extract import FeatureSpec, extract_features, load_layer
from vtdl_cli.engine.lists.labels import report_list
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.request import Execution, ListSource, protocol_name
from vtdl_cli.runtime import Reporter


def bench_extract(
    weights: str,
    source: ListSource,
    execution: Execution,
    reporter: Reporter,
    spec: FeatureSpec,
    assignments: Sequence[str] = (),
    *,
    repeats: int = 3,
) -> dict[str, Any]:
    """Time an extraction, up to its finished HDF5 file in a temporary folder, and its parts.

    Args:
        weights: run folder or checkpoint.
        source: the list.
        execution: device and workers.
        reporter: warns, and shows progress.
        spec: which features; no windows.
        assignments: `section.key=value` on top of the configuration in the weights.
        repeats: of all passes.

    Returns:
        The protocol, and see `bench_pass`.

    Raises:
        UsageError, ListError, CheckpointError: list and weights do not fit together, or no video can be read.
    """
    network, trained = load_layer(weights, None, tuple(assignments), spec, reporter.warn)
    config = trained.config
    videos = source.read(needs_classes=False, flow=config.data.modality == "flow")
    report_list(videos, reporter)
    machine = build_machine(execution.device, trained.precision, execution.workers, reporter)
    clips = spec.clips or config.extract.clips
    dataset = build_test_clips(config, videos, config.extract, clips=clips)
    timed = Pass(dataset, clips, config.extract.batch_clips, machine.place(network), machine, config, config.extract)
    bad_videos = BadVideos(len(videos), config.data.max_bad_fraction)

    with tempfile.TemporaryDirectory(prefix="vtdl-bench-") as folder:

        def extract_again() -> None:
            parts = FeatureParts(Path(folder) / "features.h5", {}, resume=False, overwrite=True)
            extract_features(network, config, videos, clips, spec, machine, parts, reporter)

        result = bench_pass(timed, extract_again, bad_videos, reporter, repeats)
    return {"protocol": protocol_name(clips), "layer": spec.layer, **result}
