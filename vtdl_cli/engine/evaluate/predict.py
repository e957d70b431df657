"""Prediction: the classes of videos without labels, or of the windows of each."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vtdl_cli import ranks
from vtdl_cli.data.lists.video_list import VideoList, join_lists, list_of_videos
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.data.video.disk import is_named_as_video, may_be_video
from vtdl_cli.engine.evaluate.prediction_files import Described, check_one_video, check_outputs, kind_of
from vtdl_cli.engine.evaluate.predictor import PredictionSpec, Predictor, Tally
from vtdl_cli.engine.evaluate.short_videos import warn_of_short
from vtdl_cli.engine.lists.labels import report_columns
from vtdl_cli.engine.networks.clips import decoder_of
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.networks.trained import load_classifier
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import ListError, UnreadableVideo, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter


@releasing_locks
def predict(
    weights: str,
    sources: Sequence[ListSource],
    outs: Sequence[Path],
    execution: Execution,
    reporter: Reporter,
    *,
    spec: PredictionSpec = PredictionSpec(),
    assignments: Sequence[str] = (),
) -> dict[str, Any]:
    """Classify videos.

    Args:
        weights: run folder, checkpoint or hub folder with a classifier.
        sources: videos, folders of videos and lists, in any mixture; their labels are not used.
        outs: files to write, see `prediction_files.FILE_KINDS`.
        execution: device, workers, and whether to overwrite.
        reporter: warns, and shows progress.
        spec: what to predict.
        assignments: `section.key=value` on top of the configuration in the weights.

    Returns:
        Provenance, counts, unreadable and short videos; and unless a file holds the rows, the `predictions`.

    Raises:
        UsageError, ListError, CheckpointError: options, videos and weights do not fit together. Nothing is written.
    """
    began = time.monotonic()
    if spec.timeline and ranks.world_size() > 1:
        raise UsageError("--timeline runs in one process. Start it without torchrun; --workers read videos in parallel")
    paths = [source.path for source in sources]
    check_outputs(outs, timeline=spec.timeline, overwrite=execution.overwrite, sources=paths)
    network, source = load_classifier(weights, assignments, reporter.warn)
    flow = decoder_of(source.config) == FLOW
    videos = read_sources(sources, reporter, flow=flow, dry_run=execution.dry_run)
    check_one_video(outs, len(videos), flow=flow)
    machine = build_machine(execution.device, source.config.finetune.precision, execution.workers, reporter)
    predictor = Predictor(network, source, videos, machine, spec)
    plan: dict[str, Any] = {
        "weights": source.path,
        "weights_sha256": source.sha256,
        "protocol": predictor.protocol,
        "videos": len(videos),
        "out": [str(out) for out in outs],
    }
    if execution.dry_run:
        return {**plan, "machine": machine.describe()}
    for out in outs:
        lock_file(out, reporter)
    if names := {out.name for out in outs}:
        paths += [path for path in map(videos.path, range(len(videos))) if path.name in names]
    check_outputs(outs, timeline=spec.timeline, overwrite=execution.overwrite, sources=paths)  # now with the videos
    rows, tally = write_rows(predictor, outs, reporter)
    _report(tally, predictor, reporter)
    return {
        **plan,
        **({"windows": tally.windows} if spec.timeline else {}),
        "skipped": [{"path": path, "reason": reason} for path, reason in tally.unreadable],
        "shorter_than_a_clip": tally.short,
        **machine.provenance,
        "seconds": round(time.monotonic() - began, 2),
        **({"predictions": rows} if rows else {}),
    }


def write_rows(predictor: Predictor, outs: Sequence[Path], reporter: Reporter) -> tuple[list[dict[str, Any]], Tally]:
    """Write the rows to the files; return them unless a file holds them, and what was found about the videos."""
    spec, classes = predictor.spec, predictor.source.class_names
    timed = spec.timeline or predictor.videos.intervals is not None
    described = Described(classes, spec.top_k, timed, spec.timeline, reporter)
    rows, tally = list[dict[str, Any]](), Tally()
    with ExitStack() as stack:
        adding = [stack.enter_context(kind_of(out).write(out, described)) for out in outs if ranks.is_rank_0()]
        if not any(kind_of(out).holds_rows for out in outs):
            adding.append(lambda row: rows.append(row.describe(classes, spec.top_k, timed=timed)))
        with reporter.progress(len(predictor.videos), predictor.protocol) as bar:
            for row in predictor.predict(tally, bar):
                for add in adding:
                    add(row)
    return rows, tally


def read_sources(sources: Sequence[ListSource], reporter: Reporter, *, flow: bool, dry_run: bool = False) -> VideoList:
    """Return the videos of all arguments as one list of paths.

    A missing file with the name of a video is one of them: it becomes a row with an error. Options of lists apply to
    the lists among the arguments; without any they are refused.

    Raises:
        UsageError, ListError: see `ListSource.read`.
    """
    has_lists = any(not _names_video(source.path) for source in sources)
    lists = []
    for source in sources:
        alone = ListSource(source.path) if has_lists and _names_video(source.path) else source
        if may_be_video(source.path) or not _names_video(source.path):
            videos = alone.read(needs_classes=False, flow=flow, dry_run=reporter if dry_run else None)
        else:
            videos = list_of_videos(source.path, [str(source.path)])
            if dry_run:
                reporter.warn(f"video '{source.path}' does not exist: its row would hold an error. Correct its path")
        report_columns(videos, reporter)
        lists.append(videos)
    return join_lists(lists)


def _names_video(path: Path) -> bool:
    """Whether an argument is a video or a folder of videos, existing or not; others are lists."""
    return path.is_dir() or is_named_as_video(path.name)


def check_some_read(result: Mapping[str, Any]) -> None:
    """Fail if no video could be read, once the rows, which say why, have been written or printed.

    Args:
        result: of `predict`.

    Raises:
        UnreadableVideo: the only one could not.
        ListError: none of several could.
    """
    skipped = result.get("skipped", ())
    if len(skipped) < result["videos"] or result.get("windows"):
        return
    path, reason = skipped[0]["path"], skipped[0]["reason"]
    if len(skipped) == 1:
        raise UnreadableVideo(path, reason)
    rows = next((f"in '{out}'" for out in result["out"] if kind_of(Path(out)).holds_rows), "above")
    raise ListError(
        f"none of {len(skipped)} videos can be read; the first is '{path}': {reason}. The rows {rows} have the reason "
        "of each"
    )


def _report(tally: Tally, predictor: Predictor, reporter: Reporter) -> None:
    """Report what a reader of the rows should know."""
    is_error = tally.videos == 1 and not tally.windows  # see check_some_read
    for path, reason in () if is_error else tally.unreadable:
        reporter.warn(f"video '{path}' cannot be read: {reason}")
    warn_of_short(tally.short, tally.videos, predictor.rule, reporter)
