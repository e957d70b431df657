"""One video at a time, without a list, a loader or workers: the clips that tests cut from it, and their outputs.

Shapes: V clips of T frames, C channels, R pixels the side of a crop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtdl_cli.config import Config
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.sampling import IndexSampler
from vtdl_cli.data.clips.views import FixedViews
from vtdl_cli.data.video.array_reader import ArrayReader
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.reader import VideoReader
from vtdl_cli.data.video.resizing import SizedReader
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.networks.clips import decoder_of
from vtdl_cli.engine.networks.inference import forward_clips
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT, Machine

Video = str | Path | np.ndarray | Tensor
"""A video file, a folder of frames, or the decoded frames uint8 (frames, H, W, C)."""


def forward_video(
    network: Callable[[Tensor], Tensor],
    video: Video,
    config: Config,
    sampler: IndexSampler,
    machine: Machine,
    batch_clips: int,
) -> np.ndarray:
    """Return the outputs for the clips of a video, float32 (V, ...), as `forward_videos` does for those of a list.

    Args:
        network: clips (N, C, T, R, R) -> (N, ...), on the machine's device.
        video: a path, or decoded frames.
        config: how frames are read and cut.
        sampler: chooses the frames of the clips.
        machine: where and how to compute.
        batch_clips: clips in one forward pass.

    Raises:
        UnreadableVideo: the video cannot be read.
        UsageError: the array does not hold frames.
    """
    windows = torch.from_numpy(cut_clips(video, config, sampler)).to(machine.device)
    clips = to_clips(windows, config.data.crop_size, {}).contiguous(memory_format=MEMORY_FORMAT)
    return forward_clips(network, clips, machine, batch_clips)


def cut_clips(video: Video, config: Config, sampler: IndexSampler) -> np.ndarray:
    """Return the centre crops of a video's clips, uint8 (V, T, R, R, C); each frame is decoded once."""
    generator = np.random.default_rng(0)  # from which neither tests' clips nor their views draw
    with open_frames(video, config) as reader:
        indices = sampler(reader.num_frames, generator)
        needed, positions = np.unique(indices, return_inverse=True)
        frames = reader.read(needed)
    windows, _ = FixedViews(config.data.crop_size)(frames, positions.reshape(indices.shape), generator)
    return windows


@contextmanager
def open_frames(video: Video, config: Config) -> Iterator[VideoReader]:
    """Open a video whose frames have the short side that the configuration asks for."""
    data = config.data
    if isinstance(video, str | Path):
        with open_video(video, decoder_of(config), None, data.frame_rate, short_side=data.short_side) as reader:
            yield reader
    else:
        yield SizedReader(ArrayReader(np.asarray(video), CHANNELS[data.modality]), data.short_side)


@dataclass(frozen=True)
class ClipTransform:
    """Turns the frames of a clip into the input of a network, as tests do: resized, centre crop, normalised.

    Attributes:
        short_side: pixels to which frames are resized first.
        crop_size: R.
        channels: C: 3 for RGB, 2 for optical flow.
    """

    short_side: int
    crop_size: int
    channels: int

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Return the clip, float32 (C, T, R, R), of frames uint8 (T, H, W, C).

        Raises:
            UsageError: the array does not hold frames.
        """
        reader = SizedReader(ArrayReader(np.asarray(frames), self.channels), self.short_side)
        clip = np.arange(reader.num_frames)
        windows, _ = FixedViews(self.crop_size)(reader.read(clip), clip[None], np.random.default_rng(0))
        return to_clips(torch.from_numpy(windows), self.crop_size, {})[0]
