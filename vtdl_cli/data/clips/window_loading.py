"""Load the windows of many videos in worker processes, in batches that are filled across videos.

A worker decodes one video after another, each of its frames once, so a single video has a single worker.

Shapes: B windows of T frames of R x R pixels, C channels.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vtdl_cli.data.clips.loading import Loader, keep_whole, worker_options
from vtdl_cli.data.clips.windows import Window, WindowRule, open_windows
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.errors import UnreadableVideo

PREFETCH = 2  # batches of each worker


@dataclass(frozen=True)
class EndedVideo:
    """A video whose windows are all in this batch or an earlier one.

    Attributes:
        index: in the list.
        is_short: whether it is shorter than a window.
        error: why it could not be read, or not to its end; empty if it could.
    """

    index: int
    is_short: bool = False
    error: str = ""


@dataclass(frozen=True)
class WindowBatch:
    """B windows.

    Attributes:
        index: of the video of each, in the list.
        windows: B; without their frames.
        frames: (B, T, R, R, C) uint8.
        ended: videos that end with these windows.
    """

    index: list[int]
    windows: list[Window]
    frames: np.ndarray
    ended: list[EndedVideo]

    def __len__(self) -> int:
        return len(self.index)

    def without_frames(self) -> "WindowBatch":
        """Return the batch without its pixels."""
        return replace(self, frames=NO_FRAMES)


NO_FRAMES = np.empty(0, np.uint8)


class SlidingWindows(IterableDataset[WindowBatch | Exception]):
    """The windows of the videos of a list; each worker has its share of the videos.

    Args:
        videos: the list.
        rule: how windows slide over each video.
        batch_size: windows in a batch, at most.
        threads: that read each video.
    """

    def __init__(self, videos: VideoList, rule: WindowRule, batch_size: int, threads: int = 1) -> None:
        self.videos, self.rule, self.batch_size, self.threads = videos, rule, batch_size, threads

    def __iter__(self) -> Iterator[WindowBatch | Exception]:
        """Yield batches; an exception is yielded too, as torch would reword it on its way from a worker."""
        worker = get_worker_info()
        share = range(len(self.videos)) if worker is None else range(worker.id, len(self.videos), worker.num_workers)
        try:
            yield from self._batches(share)
        except Exception as error:
            if worker is not None:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            yield error

    def _batches(self, share: range) -> Iterator[WindowBatch]:
        index, windows, ended = list[int](), list[Window](), list[EndedVideo]()
        for video in share:
            for each in self._read(video):
                if isinstance(each, EndedVideo):
                    ended.append(each)
                    continue
                index.append(video)
                windows.append(each)
                if len(windows) == self.batch_size:
                    yield _stack(index, windows, ended)
                    index, windows, ended = [], [], []
        if windows or ended:
            yield _stack(index, windows, ended)

    def _read(self, video: int) -> Iterator[Window | EndedVideo]:
        is_short, error = False, ""
        try:
            opened = open_windows(self.videos.path(video), self.rule, self.videos.interval(video), self.threads)
            is_short = opened.is_short
            yield from opened.read()
        except UnreadableVideo as failure:
            error = failure.reason
        yield EndedVideo(video, is_short, error)


def _stack(index: list[int], windows: list[Window], ended: list[EndedVideo]) -> WindowBatch:
    frames = np.stack([window.frames for window in windows]) if windows else NO_FRAMES
    return WindowBatch(index, [window._replace(frames=NO_FRAMES) for window in windows], frames, ended)


def load_windows(dataset: SlidingWindows, *, workers: int, on_gpu: bool) -> Iterator[WindowBatch]:
    """Yield the batches of all workers in turn; with 0 workers this process decodes."""
    workers = min(workers, len(dataset.videos))
    stream: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=None,
        collate_fn=keep_whole,
        prefetch_factor=PREFETCH if workers else None,
        **worker_options(workers, on_gpu=on_gpu),
    )
    for arrived in cast("Iterator[WindowBatch | Exception]", iter(Loader(stream))):
        if isinstance(arrived, Exception):
            raise arrived
        yield arrived
