"""Whether two lists have videos in common, whatever their files, order of lines or root."""

import hashlib
import posixpath

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.disk import stem


def fingerprints(videos: VideoList) -> NDArray[np.int64]:
    """Two marks of each video, [N, 2]: of its path as the list has it, and of that on this disk.

    Neither goes by what video files end in, so that copies in another format or as frames are found. 16 bytes a video
    are little in a checkpoint: 320 kB for Kinetics' 20,000 validation videos.
    """
    root = videos.root.resolve().as_posix()
    names = [_without_format(videos.name(index)) for index in range(len(videos))]
    marks = [(_mark(name), _mark(posixpath.normpath(posixpath.join(root, name)))) for name in names]
    return np.array(marks, np.int64).reshape(-1, 2)


def find_shared(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of N videos are among M others, bool [N], by fingerprints [N, 2] and [M, 2]: either mark will do."""
    return np.isin(ours[:, 0], theirs[:, 0]) | np.isin(ours[:, 1], theirs[:, 1])


def _without_format(name: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), stem(name)))


def _mark(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), signed=True)
