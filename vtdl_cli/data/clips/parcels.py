"""Pack batches for transfer from a worker: in shared memory or, if that is full, through a pipe.

torch would move a batch to shared memory in a thread of the worker; if that fails, the batch is silently lost. Here the
worker itself moves it, and sends any error in place of the batch.
"""

import pickle
import traceback
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.utils.data import Dataset

from vtdl_cli.data.clips.datasets import SMALL_FIELDS, Batch, Key, VideoClips, collate
from vtdl_cli.errors import VtdlError


class BatchNotReceived(VtdlError):
    """A batch in shared memory could not be opened."""


@dataclass(frozen=True)
class Parcel:
    """A packed batch.

    Attributes:
        windows: pickled: a handle to shared memory, or the array itself.
        others: the rest of the batch, pickled.
        sharing_error: why the windows could not be moved to shared memory.
        error: the exception that the worker raised instead of a batch.
    """

    windows: bytes = b""
    others: bytes = b""
    sharing_error: str = ""
    error: Exception | None = None

    def unpack(self) -> Batch:
        """Return the batch.

        Raises:
            Exception: the exception that the worker raised.
            BatchNotReceived: the windows are in shared memory, and cannot be opened.
        """
        if self.error is not None:
            raise self.error
        batch: Batch = pickle.loads(self.others)
        try:
            batch.windows = _tensor(pickle.loads(self.windows))
        except (EOFError, OSError, RuntimeError) as error:
            raise BatchNotReceived(
                f"a batch cannot be received from its worker ({type(error).__name__} {error}), most often because too "
                "many files are open. Allow more (ulimit -n 4096), or use --workers 0"
            ) from error
        batch.draws = {name: _tensor(values) for name, values in batch.draws.items()}
        for name in SMALL_FIELDS:
            setattr(batch, name, _tensor(getattr(batch, name)))
        return batch

    def pin_memory(self) -> "Batch | Parcel":
        """Unpack and pin the batch; torch calls this in a thread, which would reword any exception."""
        try:
            return self.unpack().pin_memory()
        except Exception as error:
            return Parcel(error=error)


def pack(batch: Batch, *, share: bool) -> Parcel:
    """Pack a batch; its small tensors always go through the pipe, as each shared tensor keeps a file open."""
    plain: dict[str, Any] = {name: getattr(batch, name).numpy() for name in SMALL_FIELDS}
    draws: Any = {name: values.numpy() for name, values in batch.draws.items()}
    others = pickle.dumps(replace(batch, windows=torch.empty(0), draws=draws, **plain))
    sharing_error = ""
    if share and batch.windows.numel():
        try:
            return Parcel(_share(batch.windows), others)
        except (OSError, RuntimeError) as error:
            sharing_error = " ".join(str(error).split())
    return Parcel(pickle.dumps(batch.windows.numpy()), others, sharing_error)


def _share(windows: torch.Tensor) -> bytes:
    """Move windows to shared memory, and return a pickled handle to them."""
    return bytes(ForkingPickler.dumps(windows))


def _tensor(values: Any) -> torch.Tensor:
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(values)


class PackedVideoClips(Dataset[Parcel]):
    """Wraps a dataset so that workers return packed batches."""

    def __init__(self, dataset: VideoClips, *, share: bool) -> None:
        self.dataset, self.share = dataset, share

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: list[Key]) -> Parcel:
        """Return the packed batch of these videos."""
        try:
            return pack(collate([self.dataset[key] for key in keys]), share=self.share)
        except Exception as error:
            error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            return Parcel(error=error)
