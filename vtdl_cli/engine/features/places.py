"""Where the videos of feature files lie: equal paths below two roots are two videos, unequal ones may be one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vtdl_cli.data.hdf5.features import values_of

FileOfVideos = tuple[Mapping[str, Any], Sequence[str]]
"""Attributes and paths of a feature file."""


def find_root(attributes: Mapping[str, Any], paths: Sequence[str]) -> Path | None:
    """Return the folder that a file's paths start from, `/` if all are absolute; None: it names none, or several."""
    if all(map(os.path.isabs, paths)):
        return Path("/")
    roots = values_of(attributes.get("root", ""))
    return Path(roots[0]) if len(roots) == 1 and roots[0] else None


def place_videos(files: Sequence[FileOfVideos]) -> list[Sequence[str]] | None:
    """Return what tells the videos of several files apart, of each its paths on the disk, with links resolved.

    Where all have the same root, these are the paths as they are. None: a file does not name its root.
    """
    roots = [root for root in (find_root(*file) for file in files) if root is not None]
    if len(roots) < len(files):
        return None
    if len(set(roots)) == 1:
        return [paths for _, paths in files]
    return [[os.path.realpath(root / path) for path in paths] for root, (_, paths) in zip(roots, files, strict=True)]
