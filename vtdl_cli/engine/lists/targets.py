"""Where each video of a list is written to, in an output folder."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.data.video.disk import stem
from vtdl_cli.data.video.timeline import Interval, name_sample
from vtdl_cli.errors import ListError

Sample = tuple[PurePosixPath, Interval | None]  # path as listed, and the part of it


def choose_targets(videos: VideoList, out: Path, suffix: str) -> list[Path]:
    """Return the target of each video: its path in the list, with another suffix; of an interval `clip_2-3.mp4`.

    Videos that differ in their suffixes alone keep them before the new one: a.avi and a.mp4 become a.avi.mp4 and
    a.mp4.mp4. No other target ends in two suffixes.

    Raises:
        ListError: a path leads out of its folder, two videos would have one target, a target would be the folder of
            another, or no list can hold its name.
    """
    samples = [(_path_inside(videos, index), videos.interval(index)) for index in range(len(videos))]
    sharing = Counter((path.parent, stem(path.name)) for path in {path for path, _ in samples})
    targets: dict[Sample, Path] = {}
    sample_of: dict[Path, Sample] = {}
    for path, interval in samples:
        bare = stem(path.name)
        kept = path.name if sharing[path.parent, bare] > 1 else bare
        part = f"_{interval.start:.12g}-{interval.end:.12g}" if interval else ""
        target = targets[path, interval] = out / path.parent / (kept + part + suffix)
        if (other := sample_of.setdefault(target, (path, interval))) != (path, interval):
            names = [name_sample(str(path), part) for path, part in (other, (path, interval))]
            raise ListError(
                f"list '{videos.source}': '{names[0]}' and '{names[1]}' would both be '{target}'. Rename one"
            )
    folders = _folders_of(sample_of)
    for target, (path, interval) in sample_of.items():
        name = target.relative_to(out).as_posix()
        would_be = f"list '{videos.source}': '{name_sample(str(path), interval)}' would be '{name}'"
        if reason := unlistable(name):
            raise ListError(f"{would_be}, which no list can hold: {reason}. Rename it")
        if target in folders:
            raise ListError(f"{would_be}, the folder of other videos. Rename it")
    return [targets[sample] for sample in samples]


def _folders_of(targets: Iterable[Path]) -> set[Path]:
    """Return the folders that hold targets, at any depth."""
    holding = {target.parent for target in targets}
    return holding.union(*(folder.parents for folder in holding))


def _path_inside(videos: VideoList, index: int) -> PurePosixPath:
    is_given = videos.path(index) == videos.source  # a video in place of a list
    name = videos.source.resolve().name if is_given else videos.name(index)
    path = PurePosixPath(name.lstrip("/"))
    if ".." in path.parts:
        raise ListError(f"list '{videos.source}:{videos.line(index)}': '{name}' leads out of its folder. Use --root")
    return path
