"""Write the videos of a list in another form, with a list of what was written."""

import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from vtdl_cli.data.disk import stem
from vtdl_cli.data.lists import CLASSES_FILE, VideoList, write_classes, write_list
from vtdl_cli.data.transcoding import Compressed, Pictures
from vtdl_cli.engine.parallel import each
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import Interrupted, ListError, UnreadableVideo, UsageError
from vtdl_cli.runtime import Reporter, StopRequest, check_writable, default_workers, replacing

__all__ = ["Compressed", "Pictures", "transcode"]

Writer = Compressed | Pictures
Job = tuple[Path, Path]  # source and target
FORM_FILE = "form.json"  # in the output folder: what everything in it was written with


def transcode(
    source: ListSource,
    out: Path,
    writer: Writer,
    reporter: Reporter,
    *,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write every video of a list under `out`, where its own path says, and the list beside them.

    Args:
        source: the list.
        out: the folder.
        writer: the form.
        reporter: for progress, and a warning for each video that cannot be read.
        workers: processes; 0 for none but this one, None for one on each core.
        resume: leave what was written before.
        overwrite: write it anew.

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
    check_writable(out)
    there = [target.exists() for target in targets]
    if (any(there) or listing.exists()) and not (resume or overwrite):
        raise UsageError(f"output folder '{out}' is in use. Use --resume to go on, --overwrite, or another --out")
    _keep_form(out, writer, overwrite)
    jobs = [
        (index, (videos.path(index), target)) for index, target in enumerate(targets) if overwrite or not there[index]
    ]
    frames: dict[int, int] = {}
    skipped: list[dict[str, str]] = []
    with StopRequest() as stop, reporter.progress(len(targets), "videos", start=len(targets) - len(jobs)) as bar:
        workers = default_workers() if workers is None else workers
        for index, result in each(iter(jobs), partial(_write, writer), workers):
            if isinstance(result, str):
                skipped.append({"path": videos.name(index), "reason": result})
                reporter.warn(f"skipped video '{videos.path(index)}': {result}")
            else:
                frames[index] = result
            bar.advance()
            if stop:
                raise Interrupted(f"{stop.name}: what was written to '{out}' stays. Go on with --resume")
    failed = {entry["path"] for entry in skipped}
    done = [index for index in range(len(videos)) if videos.name(index) not in failed]
    if not done:
        raise ListError(f"no video of list '{videos.source}' can be read; the first: {skipped[0]['reason']}")
    frames |= {index: writer.count(targets[index]) for index in done if index not in frames}
    rows = [(targets[index].relative_to(out).as_posix(), int(videos.labels[index]), frames[index]) for index in done]
    with replacing(listing) as temporary:
        write_list(temporary, rows)
    if videos.classes:
        with replacing(out / CLASSES_FILE) as temporary:
            write_classes(temporary, videos.classes)
    before, after = (sum(map(_size, paths)) for paths in ([videos.path(i) for i in done], [targets[i] for i in done]))
    return {
        "out": str(out),
        "list": str(listing),
        "videos": len(done),
        "written": len(jobs) - len(skipped),
        "frames": sum(frames.values()),
        "skipped": skipped,
        "megabytes_before": round(before / 1e6, 2),
        "megabytes_after": round(after / 1e6, 2),
        "saved_percent": round(100 * (1 - after / before), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def _keep_form(out: Path, writer: Writer, overwrite: bool) -> None:
    """Note what videos are written with, and refuse to mix two forms in one folder."""
    form, path = {"form": type(writer).__name__.lower(), **asdict(writer)}, out / FORM_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else form
    if before != form and not overwrite:
        told = ", ".join(f"{name} {value}" for name, value in before.items())
        raise UsageError(f"output folder '{out}' holds videos of {told}. Ask for the same, or choose another --out")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(form) + "\n", encoding="utf-8")


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
