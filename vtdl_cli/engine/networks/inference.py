"""Inference on the clips of a list: for validation, evaluation, extraction and kNN metrics."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vtdl_cli import ranks
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.datasets import SMALL_FIELDS, Batch, VideoClips
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.clips.loading import Loader
from vtdl_cli.data.clips.window_loading import SlidingWindows, WindowBatch, load_windows
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT, Machine, autocast, device_clips
from vtdl_cli.errors import ListError, VtdlError
from vtdl_cli.runtime import Reporter, StopRequest

VideoOutputs = tuple[Batch, np.ndarray]
"""A batch of B videos, without their windows, and the network's outputs for their V clips: (B, V, ...) float32; B may
be 0."""


def forward_videos(
    network: Callable[[Tensor], Tensor],
    dataset: VideoClips,
    machine: Machine,
    *,
    views: int,
    batch_clips: int,
    indices: np.ndarray | None = None,
) -> Generator[VideoOutputs, None, None]:
    """Yield the outputs for the videos of a list, about `batch_clips` at a time.

    In a distributed run each rank computes its share of a batch, and all ranks get the whole batch.

    Args:
        network: clips (N, 3, T, R, R) -> (N, ...).
        dataset: yields `views` clips per video, without augmentation.
        machine: where and how to compute.
        views: V.
        batch_clips: clips in one forward pass.
        indices: of the videos, (N,), in the order wanted; none: all, in that of the list.

    Raises:
        VtdlError: a video was lost, or came twice.
    """
    processed: list[int] = []
    for batch in load_videos(dataset, machine, views=views, batch_clips=batch_clips, indices=indices):
        values = np.empty((0, views, 0), np.float32)
        if len(batch):
            clips = device_clips(batch, machine, dataset.viewer.crop_size)  # (V, B, 3, T, R, R)
            outputs = forward_clips(network, clips.flatten(0, 1), machine, batch_clips)  # (V * B, ...): no clip copied
            values = np.ascontiguousarray(outputs.reshape(*clips.shape[:2], *outputs.shape[1:]).swapaxes(0, 1))
        whole, values = _join(ranks.gather_objects((batch.without_windows(), values)))
        processed += [*whole.index.tolist(), *(video.index for video in whole.unreadable)]
        yield whole, values
    check_each_once(processed, range(len(dataset)) if indices is None else indices.tolist())


WindowOutputs = tuple[WindowBatch, np.ndarray]
"""B windows without their frames, and the network's outputs for them, (B, ...) float32; B may be 0."""


def forward_windows(
    network: Callable[[Tensor], Tensor], dataset: SlidingWindows, machine: Machine
) -> Generator[WindowOutputs, None, None]:
    """Yield the outputs for all windows of the videos of a list; those of one video come in order.

    Args:
        network: clips (N, C, T, R, R) -> (N, ...).
        dataset: of the windows.
        machine: where and how to compute.

    Raises:
        VtdlError: a video was lost, or came twice.
    """
    processed: list[int] = []
    for batch in load_windows(dataset, workers=machine.workers, on_gpu=machine.device.type == "cuda"):
        values = np.empty((0, 0), np.float32)
        if len(batch):
            values = forward_frames(network, batch.frames, machine, dataset.rule.crop_size)
        processed += [video.index for video in batch.ended]
        yield batch.without_frames(), values
    check_each_once(processed, range(len(dataset.videos)))


def _join(parts: list[VideoOutputs]) -> VideoOutputs:
    """Join the shares of all ranks to one batch; a share without readable videos has outputs of unknown shape."""
    unreadable = [video for batch, _ in parts for video in batch.unreadable]
    readable = [part for part in parts if len(part[0])] or parts[:1]
    small = {name: torch.cat([getattr(batch, name) for batch, _ in readable]) for name in SMALL_FIELDS}
    return Batch(torch.empty(0), {}, **small, unreadable=unreadable), np.concatenate([each for _, each in readable])


def check_each_once(processed: Sequence[int], expected: Sequence[int]) -> None:
    """Check that a pass over a list processed each video once, readable or not.

    Raises:
        VtdlError: it did not.
    """
    if sorted(processed) != sorted(expected):
        lost, extra = len(set(expected) - set(processed)), len(processed) - len(set(processed))
        raise VtdlError(
            f"of {len(expected)} videos {lost} were lost and {extra} came twice. This is a bug in vtdl; nothing was "
            "written. Please report the command and the number of processes"
        )


def load_videos(
    dataset: VideoClips, machine: Machine, *, views: int, batch_clips: int, indices: np.ndarray | None = None
) -> Loader:
    """Load the batches for `forward_videos`."""
    together = ranks.world_size() * max(1, batch_clips // views)
    order = EpochBatches(len(dataset), together, indices=indices, rank=ranks.rank(), world_size=ranks.world_size())
    return machine.load(dataset, order)


def forward_frames(
    network: Callable[[Tensor], Tensor], frames: np.ndarray, machine: Machine, crop_size: int
) -> np.ndarray:
    """Normalise and forward the frames of windows (N, T, R, R, C) uint8, all at once; returns (N, ...) float32."""
    clips = to_clips(torch.from_numpy(frames).to(machine.device), crop_size, {})
    return forward_clips(network, clips.contiguous(memory_format=MEMORY_FORMAT), machine, len(frames))


def forward_clips(network: Callable[[Tensor], Tensor], clips: Tensor, machine: Machine, batch_clips: int) -> np.ndarray:
    """Forward clips (N, C, T, R, R) on the device, `batch_clips` at a time; returns (N, D) float32."""
    with torch.inference_mode(), autocast(machine):
        outputs = torch.cat([network(part).float() for part in clips.split(batch_clips)])
    values: np.ndarray = outputs.cpu().numpy()
    return values


def check_finite_scores(logits: np.ndarray, weights: str) -> None:
    """Check that a classifier's outputs are numbers.

    Raises:
        VtdlError: one is not finite, and so no class, or every class, would count as the predicted one.
    """
    if not np.isfinite(logits).all():
        raise VtdlError(f"weights '{weights}' give scores that are not finite. Finetune again from others")


Outputs = TypeVar("Outputs")


def stop_on_signal(outputs: Generator[Outputs, None, None]) -> Generator[Outputs, None, None]:
    """Yield batches until a signal requests to stop.

    The request is checked between two batches, so that no worker is interrupted while it sends one.

    Raises:
        KeyboardInterrupt: a signal was received; the workers have ended.
    """
    with StopRequest() as stop, closing(outputs):
        for each in outputs:
            if stop.received():
                raise KeyboardInterrupt
            yield each


@dataclass(frozen=True)
class Collected:
    """The outputs of a pass over a list, without unreadable videos: (N,), (N,), (N,) and (N, ...)."""

    index: np.ndarray
    label: np.ndarray
    num_frames: np.ndarray
    values: np.ndarray


def collect(
    outputs: Iterable[VideoOutputs],
    bad_videos: BadVideos,
    reporter: Reporter,
    description: str,
    num_videos: int | None = None,
) -> Collected:
    """Collect the values of all batches, and count unreadable videos.

    Args:
        outputs: of a pass over a list.
        bad_videos: of that list.
        reporter: shows progress, and warns.
        description: of the pass.
        num_videos: that the pass processes; none: all of the list.

    Raises:
        ListError: too many videos, or all, could not be read.
    """
    parts = []
    with reporter.progress(bad_videos.num_videos if num_videos is None else num_videos, description) as bar:
        for batch, values in outputs:
            bad_videos.add(batch.unreadable, reporter)
            if len(batch):
                # copies: each tensor from a worker keeps a file open, and the number of open files is limited
                columns = (batch.index, batch.label, batch.num_frames)
                parts.append((*(column.numpy().copy() for column in columns), values))
            bar.advance(len(batch) + len(batch.unreadable))
    if not parts:
        raise ListError("no video of the list could be read: there is nothing to measure")
    return Collected(*(np.concatenate(column) for column in zip(*parts, strict=True)))
