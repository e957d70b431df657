"""Batches packed for their way from a worker: in shared memory or, where that has no room, whole through a pipe.

torch would move a batch to shared memory in a thread of the worker, behind its back: where that fails, nobody hears of
the batch again. Here the worker itself does, and what goes wrong is told in place of the batch.
"""

import pickle
import traceback
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.utils.data import Dataset

from vtdl_cli.data.clips.datasets import Batch, Key, VideoClips, collate
from vtdl_cli.errors import VtdlError


class NotFetched(VtdlError):
    """A worker has sent word of a batch, and it is not there."""


@dataclass(frozen=True)
class Parcel:
    """A batch on its way.

    Attributes:
        windows: pickled: where they lie in shared memory, or they themselves.
        others: all else of the batch, pickled.
        trouble: why the windows do not lie in shared memory, where they were to.
        error: what happened in place of the batch.
    """

    windows: bytes = b""
    others: bytes = b""
    trouble: str = ""
    error: Exception | None = None

    def unpack(self) -> Batch:
        """The batch.

        Raises:
            Exception: whatever went wrong in the worker.
            NotFetched: where the windows lie in shared memory, and are out of reach.
        """
        if self.error is not None:
            raise self.error
        batch: Batch = pickle.loads(self.others)
        try:
            batch.windows = _tensor(pickle.loads(self.windows))
        except (EOFError, OSError, RuntimeError) as error:
            raise NotFetched(
                f"a batch cannot be fetched from its worker ({type(error).__name__} {error}), most often because too "
                "many files are open. Allow more (ulimit -n 4096), or use --workers 0"
            ) from error
        batch.draws = {name: _tensor(values) for name, values in batch.draws.items()}
        batch.label, batch.index, batch.num_frames = map(_tensor, (batch.label, batch.index, batch.num_frames))
        return batch

    def pin_memory(self) -> "Batch | Parcel":
        """Called by torch, in a thread that would tell of an error in words of its own."""
        try:
            return self.unpack().pin_memory()
        except Exception as error:
            return Parcel(error=error)


def pack(batch: Batch, *, share: bool) -> Parcel:
    """Make a batch ready to be sent; small things always go through the pipe, as each shared one is an open file."""
    names = ("label", "index", "num_frames")
    plain: dict[str, Any] = {name: getattr(batch, name).numpy() for name in names}
    draws: Any = {name: values.numpy() for name, values in batch.draws.items()}
    others = pickle.dumps(replace(batch, windows=torch.empty(0), draws=draws, **plain))
    trouble = ""
    if share and batch.windows.numel():
        try:
            return Parcel(_share(batch.windows), others)
        except (OSError, RuntimeError) as error:
            trouble = " ".join(str(error).split())
    return Parcel(pickle.dumps(batch.windows.numpy()), others, trouble)


def _share(windows: torch.Tensor) -> bytes:
    """Move windows to shared memory, and say where they are."""
    return bytes(ForkingPickler.dumps(windows))


def _tensor(values: Any) -> torch.Tensor:
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(values)


class Packed(Dataset[Parcel]):
    """The batches of a dataset as parcels, made and packed in a worker."""

    def __init__(self, dataset: VideoClips, *, share: bool) -> None:
        self.dataset, self.share = dataset, share

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: list[Key]) -> Parcel:
        """The batch of these videos."""
        try:
            return pack(collate([self.dataset[key] for key in keys]), share=self.share)
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            return Parcel(error=error)
