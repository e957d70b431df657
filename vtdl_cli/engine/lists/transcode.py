"""Write the videos of a list in another form, with a list of what was written."""

import json
import shutil
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.video_list import CLASSES_FILE, VideoList, write_classes, write_list
from vtdl_cli.data.video.disk import stem
from vtdl_cli.data.video.transcoding import FrameFolderWriter, Mp4Writer
from vtdl_cli.engine.lists.check import check_same_classes
from vtdl_cli.engine.lists.process_pool import each, listening
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import Interrupted, ListError, UnreadableVideo, UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, StopRequest, atomic_write, check_writable, default_workers

__all__ = ["FrameFolderWriter", "Mp4Writer", "transcode"]

Writer = Mp4Writer | FrameFolderWriter
Job = tuple[Path, Path]  # source and target
FORM_FILE = "form.json"  # in the output folder: what everything in it was written with, and of which lists


@releasing_locks
def transcode(
    source: ListSource, out: Path, writer: Writer, execution: Execution, reporter: Reporter
) -> dict[str, Any]:
    """Write every video of a list under `out`, where its own path says, and the list beside them.

    Args:
        source: the list.
        out: the folder.
        writer: the form.
        execution: how many processes; whether to leave what was written before, or write it anew.
        reporter: for progress, and a warning for each video that cannot be read.

    Returns:
        How many were written, left as they were, or skipped and why; sizes before and after.

    Raises:
        UsageError: something is in the way.
        ListError: two videos would have one name, or none can be read.
        Interrupted: by a signal; what was written stays.
    """
    began = time.monotonic()
    videos = source.read()
    targets = _targets(videos, out, writer.suffix)
    listing = out / source.path.name
    lock_folder(out, reporter)
    there = _clear_the_way(videos, targets, out, listing, writer, execution)
    form_before = _keep_form(out, writer, videos)  # before the first video: whoever resumes goes by it
    first_of: dict[Path, int] = {}  # a video may be listed twice
    for index, target in enumerate(targets):
        first_of.setdefault(target, index)
    jobs = [(index, (videos.path(index), target)) for target, index in first_of.items() if target not in there]
    frames: dict[Path, int] = {}
    skipped: list[dict[str, str]] = []
    workers = default_workers() if execution.workers is None else execution.workers
    results = each(iter(jobs), partial(_write, writer), workers)
    progress = reporter.progress(len(first_of), "videos", start=len(there))
    with StopRequest() as stop, listening(results), progress as bar:
        for index, result in results:
            if isinstance(result, str):
                skipped.append({"path": videos.name(index), "reason": result})
                reporter.warn(f"skipped video '{videos.path(index)}': {result}")
            else:
                frames[targets[index]] = result
            bar.advance()
            if stop.received():
                raise Interrupted(f"{stop.name}: what was written to '{out}' stays. Resume with --resume")
    skipped.sort(key=lambda entry: entry["path"])
    if len(skipped) == len(first_of):
        if not form_before:
            (out / FORM_FILE).unlink()
        raise ListError(f"no video of list '{videos.source}' can be read; the first: {skipped[0]['reason']}")
    frames |= {target: writer.count(target) for target in there}
    done = [index for index, target in enumerate(targets) if target in frames]
    _write_listing(videos, targets, done, frames, out, listing)
    before, after = (sum(map(_size, paths)) for paths in ([videos.path(i) for i in done], [targets[i] for i in done]))
    return {
        "out": str(out),
        "list": str(listing),
        "videos": len(done),
        "written": len(jobs) - len(skipped),
        "frames": sum(frames[targets[index]] for index in done),
        "skipped": skipped,
        "megabytes_before": round(before / 1e6, 2),
        "megabytes_after": round(after / 1e6, 2),
        "saved_percent": round(100 * (1 - after / before), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def _clear_the_way(
    videos: VideoList, targets: list[Path], out: Path, listing: Path, writer: Writer, execution: Execution
) -> set[Path]:
    """Refuse what is in the way, remove what is to be written anew; returns the targets that stay as they are."""
    check_writable(out)
    _refuse_sources(videos, out, listing)
    there = {target for target in targets if target.exists()}
    if (there or listing.exists()) and not (execution.resume or execution.overwrite):
        raise UsageError(f"output folder '{out}' is in use. Use --resume to go on, --overwrite, or another --out")
    _check_form(out, writer, videos, resume=execution.resume)
    check_same_classes(out, videos)
    if not execution.overwrite:
        return there
    for target in there:  # before the first is written anew, so that a run that is stopped can tell what it has done
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return set()


def _write_listing(
    videos: VideoList, targets: list[Path], done: list[int], frames: dict[Path, int], out: Path, listing: Path
) -> None:
    """The list of what was written, with its class names."""
    rows = (
        (targets[index].relative_to(out).as_posix(), int(videos.labels[index]), frames[targets[index]])
        for index in done
    )
    with atomic_write(listing) as temporary:
        write_list(temporary, rows)
    if videos.classes:
        with atomic_write(out / CLASSES_FILE) as temporary:
            write_classes(temporary, videos.classes)


def _refuse_sources(videos: VideoList, out: Path, listing: Path) -> None:
    """Nothing may be written where the videos or the list lie.

    Raises:
        UsageError: the output folder holds one of them.
    """
    place = out.resolve()
    inside = (videos.path(index) for index in range(len(videos)) if place in videos.path(index).resolve().parents)
    taken = listing if listing.resolve() == videos.source.resolve() else next(inside, None)
    if taken is not None:
        raise UsageError(f"output folder '{out}' holds '{taken}' itself, which would be replaced. Choose another --out")


def _form(writer: Writer) -> dict[str, Any]:
    return {"form": type(writer).__name__.lower(), **asdict(writer)}


def _read_form(out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a folder's videos were written with, and the hash of each list they were written for; empty: nothing yet.

    Raises:
        UsageError: the file that says so is damaged.
    """
    path = out / FORM_FILE
    try:
        form = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return form, dict(form.pop("lists", {}))
    except (ValueError, AttributeError, TypeError):  # no JSON, or no mapping
        raise UsageError(f"file '{path}' is damaged: its folder may hold anything. Choose another --out") from None


def _check_form(out: Path, writer: Writer, videos: VideoList, *, resume: bool) -> None:
    """Refuse to mix two forms in one folder, or to go on with another list of the same name.

    Raises:
        UsageError: so it would be.
    """
    before, lists = _read_form(out)
    if before and before != _form(writer):
        told = ", ".join(f"{name} {value}" for name, value in before.items())
        raise UsageError(f"output folder '{out}' holds videos of {told}. Ask for the same, or choose another --out")
    name = videos.source.name
    if resume and lists.get(name, videos.sha256) != videos.sha256:
        raise UsageError(
            f"output folder '{out}' was begun with another list '{name}' than '{videos.source}' is now. "
            "Use --overwrite, or another --out"
        )


def _keep_form(out: Path, writer: Writer, videos: VideoList) -> bool:
    """Say in the folder what is written into it; returns whether it did so before."""
    before, lists = _read_form(out)
    form = {**_form(writer), "lists": {**lists, videos.source.name: videos.sha256}}
    with atomic_write(out / FORM_FILE) as temporary:
        temporary.write_text(json.dumps(form) + "\n", encoding="utf-8")
    return bool(before)


def _targets(videos: VideoList, out: Path, suffix: str) -> list[Path]:
    """Where each video goes: its path in the list, with another suffix."""
    owners: dict[str, str] = {}
    targets = []
    for index in range(len(videos)):
        name = videos.name(index)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ListError(
                f"list '{videos.source}:{videos.line(index)}': '{name}' leads out of its folder. Use --root"
            )
        target = "/".join([*parts[:-1], stem(parts[-1]) + suffix])
        if (other := owners.setdefault(target, name)) != name:
            raise ListError(f"videos '{other}' and '{name}' would both become '{target}'. Rename one")
        targets.append(out / target)
    return targets


def _write(writer: Writer, job: Job) -> int | str:
    source, target = job
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        return writer.write(source, target)
    except UnreadableVideo as error:
        return error.reason


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    return path.stat().st_size
