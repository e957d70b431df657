"""Write the videos of a list in another format, with a list of the new files."""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.class_names import CLASSES_FILE, write_classes
from vtdl_cli.data.lists.video_list import VideoList, write_list
from vtdl_cli.data.video.disk import may_be_video
from vtdl_cli.data.video.timeline import Interval, name_sample
from vtdl_cli.data.video.transcoding import FrameFolderWriter, Mp4Writer
from vtdl_cli.engine.lists.convert import check_same_classes
from vtdl_cli.engine.lists.labels import report_list
from vtdl_cli.engine.lists.process_pool import closing_pool, map_unordered
from vtdl_cli.engine.lists.targets import choose_targets
from vtdl_cli.engine.lists.video_form import (
    FORM_FILE,
    Form,
    Stamp,
    VideoWriter,
    check_form,
    read_form,
    record_form,
    stamp_sources,
)
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import Interrupted, ListError, UnreadableVideo, UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, StopRequest, atomic_write, check_writable, default_workers
from vtdl_cli.text import counted

__all__ = ["FrameFolderWriter", "Mp4Writer", "VideoWriter", "transcode"]

Job = tuple[Path, Interval | None, Path]  # source, the part of it that is written, and target


@releasing_locks
def transcode(
    source: ListSource, out: Path, writer: VideoWriter, execution: Execution, reporter: Reporter
) -> dict[str, Any]:
    """Write every video of a list or folder to `out`, under its path in it, and a list of the new files.

    An interval of a video becomes a video of its own, so that the new list has none. A resumed run writes anew what has
    changed since.

    Args:
        source: the list, folder of videos, or video.
        out: the folder to write to.
        writer: the format.
        execution: number of processes; whether to keep or replace the videos of an earlier run.
        reporter: for progress, and a warning for each unreadable video.

    Returns:
        The number of videos and of those written now; which were skipped and why; sizes before and after.

    Raises:
        UsageError: the output folder holds the sources, videos of another format, an earlier run, or files of the
            user in place of videos.
        ListError: a path leads out of its folder, or no video can be read.
        Interrupted: by a signal; the videos written so far are kept.
    """
    began = time.monotonic()
    videos = source.read(needs_classes=False)
    targets = choose_targets(videos, out, writer.suffix)
    listing = out / _list_name(source.path)
    lock_folder(out, reporter)
    form, stamps = read_form(out), stamp_sources(videos, targets)
    finished = _prepare_folder(videos, targets, stamps, listing, form, writer, execution, reporter)
    report_list(videos, reporter)
    stamps = form.stamps | stamps
    record_form(form, listing, writer, videos, stamps)  # before the first video: a resumed run checks it
    frames, skipped = _write_videos(videos, targets, finished, writer, execution, reporter)
    num_written = len(frames)
    frames |= {target: writer.count(target) for target in finished}
    if unwritten := set(targets) - frames.keys():  # what the user puts in their places is not ours
        stamps = {target: stamp for target, stamp in stamps.items() if target not in unwritten}
        record_form(form, listing, writer, videos, stamps)
    if not frames:
        if not form.settings:
            (out / FORM_FILE).unlink()
        raise ListError(f"no video of list '{videos.source}' can be read; the first: {skipped[0]['reason']}")
    done = [index for index, target in enumerate(targets) if target in frames]
    _write_listing(videos, targets, done, frames, listing)
    sizes = {videos.path(index): stamps[targets[index]][0] for index in done if targets[index] in stamps}
    before, after = sum(sizes.values()), sum(map(_size, frames))
    return {
        "out": str(out),
        "list": str(listing),
        "videos": len(done),
        "written": num_written,
        "frames": sum(frames[targets[index]] for index in done),
        "skipped": skipped,
        "megabytes_before": round(before / 1e6, 2),
        "megabytes_after": round(after / 1e6, 2),
        "saved_percent": round(100 * (1 - after / before), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def _list_name(source: Path) -> str:
    """Return the name of the new list, one of lines, which have a place for all that the new videos have.

    It is that of the old list, or of the video or folder that was given in its place.
    """
    return f"{source.resolve().name if may_be_video(source) else source.stem}.txt"


def _write_videos(
    videos: VideoList,
    targets: list[Path],
    finished: set[Path],
    writer: VideoWriter,
    execution: Execution,
    reporter: Reporter,
) -> tuple[dict[Path, int], list[dict[str, str]]]:
    """Write all videos but the finished ones; return the frames of each, and the skipped videos with reasons."""
    first_of: dict[Path, int] = {}  # a video may be listed twice
    for index, target in enumerate(targets):
        first_of.setdefault(target, index)
    jobs = [
        (index, (videos.path(index), videos.interval(index), target))
        for target, index in first_of.items()
        if target not in finished
    ]
    workers = default_workers() if execution.workers is None else execution.workers
    results = map_unordered(partial(_write, writer), iter(jobs), workers)
    frames: dict[Path, int] = {}
    skipped: list[dict[str, str]] = []
    progress = reporter.progress(len(first_of), "videos", start=len(finished))
    with StopRequest() as stop, closing_pool(results), progress as bar:
        for index, result in results:
            if isinstance(result, str):
                skipped.append({"path": videos.sample_name(index), "reason": result})
                reporter.warn(
                    f"skipped video '{name_sample(str(videos.path(index)), videos.interval(index))}': {result}"
                )
            else:
                frames[targets[index]] = result
            bar.advance()
            if stop.received():
                raise Interrupted(f"{stop.name}: the videos written so far are kept. Resume with --resume")
    return frames, sorted(skipped, key=lambda entry: entry["path"])


def _write(writer: VideoWriter, job: Job) -> int | str:
    source, interval, target = job
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        return writer.write(source, target, interval)
    except UnreadableVideo as error:
        return error.reason


def _prepare_folder(
    videos: VideoList,
    targets: list[Path],
    stamps: dict[Path, Stamp],
    listing: Path,
    form: Form,
    writer: VideoWriter,
    execution: Execution,
    reporter: Reporter,
) -> set[Path]:
    """Check the output folder, and remove videos that are to be replaced; return the targets that are finished."""
    out = listing.parent
    check_writable(out)
    _refuse_sources(videos, listing)
    existing = {target: videos.path(index) for index, target in enumerate(targets) if target.exists()}
    changed = {
        target: source
        for target, source in existing.items()
        if target in stamps and form.stamps.get(target, stamps[target]) != stamps[target]
    }
    replaced = existing if execution.overwrite else changed
    _refuse_foreign([*existing, *([listing] if listing.exists() else [])], replaced, out, form, writer)
    if (existing or listing.exists()) and not (execution.resume or execution.overwrite):
        raise UsageError(f"output folder '{out}' is in use. Use --resume, --overwrite, or another --out")
    check_form(form, listing, writer, videos, resume=execution.resume)
    check_same_classes(out, videos)
    if changed and execution.resume:
        _warn_of_changes(changed, reporter)
    for target in replaced:  # all before the first is written: what exists after an interruption is new
        writer.remove(target)
    return existing.keys() - replaced.keys()


def _refuse_foreign(
    existing: Iterable[Path], replaced: Iterable[Path], out: Path, form: Form, writer: VideoWriter
) -> None:
    """Refuse to take files of the user for those of an earlier run, or to remove them.

    Raises:
        UsageError: there are some.
    """
    unknown = (path for path in existing if not form.wrote(path))
    inside = (path for target in replaced if (path := writer.find_foreign(target)))
    if foreign := next(chain(unknown, inside), None):
        raise UsageError(
            f"output folder '{out}' holds '{foreign}', which no earlier run has written. Move it, or choose another "
            "--out"
        )


def _warn_of_changes(changed: Mapping[Path, Path], reporter: Reporter) -> None:
    """Warn of new videos, with their sources, that are written anew."""
    sources = list(dict.fromkeys(changed.values()))
    since = counted(len(sources), "video has changed since it was", "videos have changed since they were")
    anew = "is written anew:" if len(sources) == 1 else "are written anew; the first is"
    reporter.warn(f"{since} written, and {anew} '{sources[0]}'")


def _write_listing(
    videos: VideoList, targets: list[Path], done: list[int], frames: dict[Path, int], listing: Path
) -> None:
    """Write the list of the new files, with its class names."""
    out = listing.parent
    rows = (
        (targets[index].relative_to(out).as_posix(), int(videos.labels[index]), frames[targets[index]])
        for index in done
    )
    with atomic_write(listing) as temporary:
        write_list(temporary, rows)
    if videos.classes:
        with atomic_write(out / CLASSES_FILE) as temporary:
            write_classes(temporary, videos.classes)


def _refuse_sources(videos: VideoList, listing: Path) -> None:
    """Refuse to write to a folder that holds the source videos or their list, or lies among them.

    Raises:
        UsageError: the output folder holds one of them, or lies in the folder given in place of a list.
    """
    out = listing.parent
    place = out.resolve()
    if videos.source.is_dir() and videos.source.resolve() in place.parents:
        raise UsageError(
            f"output folder '{out}' lies in '{videos.source}', whose videos it would join. Choose another --out"
        )
    inside = (videos.path(index) for index in range(len(videos)) if place in videos.path(index).resolve().parents)
    taken = listing if listing.resolve() == videos.source.resolve() else next(inside, None)
    if taken is not None:
        raise UsageError(f"output folder '{out}' holds '{taken}' itself, which would be replaced. Choose another --out")


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    return path.stat().st_size
