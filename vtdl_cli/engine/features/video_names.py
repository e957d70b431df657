"""Names of videos that are short enough for a figure."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from vtdl_cli.data.hdf5.features import Features


def short_names(features: Features) -> list[str]:
    """Return the stem of each video's file, with its interval, and as many of its folders as tell the files apart."""
    files = [PurePosixPath(path) for path in features.paths]
    candidates = (*_by_depth([file.parent / file.stem for file in files]), *_by_depth(files), features.paths)
    shown = next(names for names in candidates if len(set(names)) == len(set(features.paths)))
    return [
        f"{short}{name[len(path) :]}" for short, name, path in zip(shown, features.names, features.paths, strict=True)
    ]


def _by_depth(files: Sequence[PurePosixPath]) -> Iterator[list[str]]:
    """Yield the names of files, then these with one folder, with two, and so on."""
    for depth in range(1, 1 + max(len(file.parts) for file in files)):
        yield ["/".join(file.parts[-depth:]) for file in files]
