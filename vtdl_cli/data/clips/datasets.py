"""From a list to batches: one sample per video, which is opened once and decoded only where needed.

A sample depends on (seed, epoch, index) alone, not on the number of workers or on the order in which batches arrive;
where a video comes several times in an epoch, also on how often it has come before. A video that cannot be read yields
an `Unreadable`, which the batch carries separately: it is counted, never replaced.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from vtdl_cli.data.clips.sampling import IndexSampler, strides_of
from vtdl_cli.data.clips.views import Draws, Viewer
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.cache import VideoCache
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.data.video.timeline import name_sample, timeline_of
from vtdl_cli.errors import UnreadableVideo

Key = tuple[int, ...]
"""(epoch, index of the video in the list); if the video has come before in the epoch, also how often."""

MANY_FRAMES = 10_000  # of a video long enough for any sampler


@dataclass(frozen=True)
class Unreadable:
    """A video or interval of the list that could not be decoded, and why."""

    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class VideoSample:
    """The clips of one video.

    Attributes:
        index: of the video in the list.
        label: its class.
        num_frames: that it has.
        other_frames: bool (V,), whether each clip shows other frames than the first one.
        strides: (V,) frames from the first to the second of each clip.
        windows: (V, T, S, S, C) uint8.
        draws: parameters by which the device augments them.
        times: float64 (V, T, 4), see `Batch`.
        fps: frames a second of the file; NaN if unknown.
    """

    index: int
    label: int
    num_frames: int
    other_frames: np.ndarray
    strides: np.ndarray
    windows: np.ndarray
    draws: Draws
    times: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 4)))
    fps: float = np.nan


SMALL_FIELDS = {
    "label": np.int64,
    "index": np.int64,
    "num_frames": np.int64,
    "other_frames": np.bool_,
    "strides": np.int64,
    "times": np.float64,
    "fps": np.float64,
}
"""What a batch has of each video beside pixels and draws, and of which type: the fields of a sample, stacked."""


@dataclass
class Batch:
    """B videos with V clips each.

    Attributes:
        windows: (B, V, T, S, S, C) uint8; C is 3 for RGB, 2 for flow.
        draws: augmentation parameters, (B, V, ...) each; empty for no augmentation.
        label, index, num_frames: (B,) each.
        other_frames: bool (B, V), whether each clip shows other frames than the first one of its video.
        strides: (B, V) frames from the first to the second of each clip.
        times: float64 (B, V, T, 4), of each frame its number in the file and the one after it, and the seconds at which
            it begins and ends; NaN if unknown.
        fps: float64 (B,), frames a second of the files; NaN if unknown.
        unreadable: videos that could not be read, and are not among the B.
    """

    windows: Tensor
    draws: dict[str, Tensor]
    label: Tensor
    index: Tensor
    num_frames: Tensor
    other_frames: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.bool))
    strides: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.long))
    times: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0, 4, dtype=torch.float64))
    fps: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    unreadable: list[Unreadable] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    def without_windows(self) -> "Batch":
        """Return the batch without its pixels."""
        return replace(self, windows=torch.empty(0), draws={})

    def pin_memory(self) -> "Batch":
        """Pin the tensors that go to the GPU, so that they are copied while it computes."""
        for name in ("windows", *SMALL_FIELDS):
            setattr(self, name, getattr(self, name).pin_memory())
        self.draws = {name: values.pin_memory() for name, values in self.draws.items()}
        return self


class VideoClips(Dataset[VideoSample | Unreadable]):
    """The videos of a list as samples.

    Args:
        videos: the list.
        sampler: chooses the frames of the clips.
        viewer: chooses the part of the frames that is seen.
        short_side: pixels to which frames are resized first.
        decoder: a key of `data.video.decoding.DECODERS`, or FLOW.
        seed: of all draws.
        frame_rate: frames a second that the sampler draws from; None: the frames of the files.
        cache_bytes: of memory for decoded videos, see `VideoCache`.
    """

    def __init__(
        self,
        videos: VideoList,
        *,
        sampler: IndexSampler,
        viewer: Viewer,
        short_side: int,
        decoder: str,
        seed: int,
        frame_rate: float | None = None,
        cache_bytes: float = 0,
    ) -> None:
        self.videos, self.sampler, self.viewer = videos, sampler, viewer
        self.short_side, self.decoder, self.seed = short_side, decoder, seed
        self.cache = VideoCache(cache_bytes, decoder, frame_rate, short_side)

    def __len__(self) -> int:
        return len(self.videos)

    def fill_cache(self, threads: int) -> Iterator[None]:
        """Decode as many videos as the cache has room for; yield after each. Before workers start, see `VideoCache`."""
        videos = ((self.videos.path(index), self.videos.interval(index)) for index in range(len(self)))
        return self.cache.fill(videos, threads)

    def __getitem__(self, key: Key) -> VideoSample | Unreadable:
        """Return the sample of a key."""
        index = key[1]
        interval = self.videos.interval(index)
        try:
            with self.cache.open(self.videos.path(index), interval) as reader:
                num_frames = reader.num_frames
                indices, generator = self.draw_frames(key, num_frames)
                needed, positions = np.unique(indices, return_inverse=True)
                frames = reader.read(needed)
                timeline = timeline_of(self.videos.path(index), reader)
        except UnreadableVideo as error:
            return Unreadable(index, name_sample(error.path, interval), error.reason)
        windows, draws = self.viewer(frames, positions.reshape(indices.shape), generator)
        other_frames, strides = (indices != indices[0]).any(1), strides_of(indices, num_frames)
        label = int(self.videos.labels[index])
        times = timeline.times(indices)
        return VideoSample(index, label, num_frames, other_frames, strides, windows, draws, times, timeline.fps)

    def sample_bytes(self) -> int:
        """Return the size of a sample's windows in bytes."""
        indices, generator = self.draw_frames((0, 0), MANY_FRAMES)
        channels = 2 if self.decoder == FLOW else 3
        blank = np.zeros((1, self.short_side, self.short_side, channels), np.uint8)
        windows, _ = self.viewer(blank, np.zeros_like(indices), generator)
        return windows.nbytes

    def draw_frames(self, key: Key, num_frames: int) -> tuple[np.ndarray, Generator]:
        """Draw the frames (V, T) of a sample's clips; returns also the generator for its further draws."""
        epoch, index, *repeats = key
        generator = np.random.default_rng((self.seed, epoch, index + 1, *repeats))  # 0 seeds `EpochBatches`
        return self.sampler(num_frames, generator), generator


def collate(samples: list[VideoSample | Unreadable]) -> Batch:
    """Stack the readable samples into a batch, and list the others in it.

    Windows lie views first in memory, as the device takes them, which saves it a copy.
    """
    good = [sample for sample in samples if isinstance(sample, VideoSample)]
    bad = [sample for sample in samples if isinstance(sample, Unreadable)]
    windows = np.stack([sample.windows for sample in good], 1).swapaxes(0, 1) if good else np.empty(0, np.uint8)
    names = good[0].draws if good else {}
    draws = {name: torch.from_numpy(np.stack([sample.draws[name] for sample in good])) for name in names}
    small = {
        name: torch.tensor(np.array([getattr(sample, name) for sample in good], type_))
        for name, type_ in SMALL_FIELDS.items()
    }
    return Batch(torch.from_numpy(windows), draws, **small, unreadable=bad)
