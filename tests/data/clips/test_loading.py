"""Batches on their way from the workers: whichever way they take they are the same, and none is waited for in vain."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import _utils

from tests.processes import ENVIRONMENT
from tests.toy import Toy
from vtdl_cli.cli import describe
from vtdl_cli.data.clips import loading, parcels
from vtdl_cli.data.clips.datasets import Batch, Unreadable, VideoSample
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.clips.loading import Loader, build_loader
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import atomic_write

NUM_VIDEOS = 7


class Videos:
    """Stands in for videos: windows and draws of the video's number; every third cannot be read."""

    def __len__(self) -> int:
        return NUM_VIDEOS

    def sample_bytes(self) -> int:
        return 24

    def __getitem__(self, key: tuple[int, int]) -> VideoSample | Unreadable:
        _, index = key
        if index % 3 == 2:
            return Unreadable(index, f"{index}.mp4", "the file is empty")
        return VideoSample(
            index,
            10 + index,
            100,
            np.array([False, True]),
            np.array([4, 4]),
            np.full((2, 4, 1, 1, 3), index, np.uint8),
            {"shift": np.full(2, index)},
        )


class Fateful(Videos):
    """Video 3 does this."""

    def __init__(self, fate: Callable[[], object]) -> None:
        self.fate = fate

    def __getitem__(self, key: tuple[int, int]) -> VideoSample | Unreadable:
        if key[1] == 3:
            self.fate()
        return super().__getitem__(key)


def load(videos: Videos, workers: int, heard: list[str] | None = None, *, batch_size: int = 3) -> Loader:
    tell = (heard if heard is not None else []).append
    order = EpochBatches(NUM_VIDEOS, batch_size)
    return build_loader(videos, order, workers=workers, on_gpu=False, warn=tell)  # type: ignore[arg-type]


def content(batch: Batch) -> list[Any]:
    tensors = (batch.windows, *batch.draws.values(), batch.label, batch.index, batch.num_frames)
    return [*((each.dtype, each.tolist()) for each in tensors), list(batch.draws), batch.unreadable]


def refuse_sharing(_: object) -> None:
    raise RuntimeError("unable to resize file </torch_1>:\nNo space left on device (28)")


@pytest.mark.parametrize("way", ["shared", "no room", "room gone", "few files"])
def test_build_loader__batches_are_the_same_by_every_way(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Oracle: no worker; one and two videos a batch, so that one holds nothing but an unreadable video."""
    heard: list[str] = []
    expected = {size: [content(batch) for batch in load(Videos(), 0, batch_size=size)] for size in (1, 3)}
    if way == "no room":
        monkeypatch.setattr(loading, "free_shared_memory", lambda: 10.0)
    if way == "room gone":
        monkeypatch.setattr(parcels, "_share", refuse_sharing)
    if way == "few files":
        monkeypatch.setattr(loading, "max_open_files", lambda: 20)
    for size, batches in expected.items():
        found = list(load(Videos(), 2, heard, batch_size=size))
        assert [content(batch) for batch in found] == batches
        assert all(batch.windows.is_shared() == (way == "shared") for batch in found if len(batch))
    says = {
        "no room": "it has no room for one batch of each of 2 workers. Enlarge it (docker run --shm-size 8g), or",
        "room gone": "unable to resize file </torch_1>: No space left on device (28). Enlarge it",
        "few files": "only 20 files may be open. Allow more: ulimit -n 4096",
    }
    assert bool(heard) == (way != "shared")
    assert all(
        text.startswith("batches are sent through pipes, which is slower") and says[way] in text for text in heard
    )


@pytest.mark.parametrize(
    ("room", "needed", "ahead"),
    [(64e6, 8 * 158e6, 0), (2e9, 8 * 158e6, 1), (24e9, 8 * 158e6, 4), (float("inf"), 1e12, 4), (64e6, 0, 4)],
)
def test_max_prefetch__by_free_memory(room: float, needed: float, ahead: int) -> None:
    """Oracle: by hand: a container's 64 MB, 2 GB and 24 GB, of which 80% for 8 workers with batches of 158 MB."""
    assert loading.max_prefetch(room, int(needed)) == ahead


def test_build_loader__raises_what_a_worker_raised() -> None:
    """The error itself, in its own words: of those on the way torch makes a page."""

    def refuse() -> None:
        raise UsageError("decoder 'x' is not installed. Use another")

    with pytest.raises(UsageError) as raised:
        list(load(Fateful(refuse), 1))
    assert describe(raised.value) == (("decoder 'x' is not installed. Use another",), 2)
    assert "in refuse" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "a worker process was killed by the system, most often because memory ran out. Use fewer"),
        pytest.param(signal.SIGBUS, "a worker process ran out of shared memory (/dev/shm)", marks=pytest.mark.slow),
        (signal.SIGSEGV, "a worker process died (signal Segmentation fault), most often in a decoder. Find"),
    ],
)
def test_worker__that_is_killed_is_reported(number: signal.Signals, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.5)  # seconds that torch waits for the other worker, not 5
    began = time.monotonic()
    with pytest.raises(VtdlError) as raised:
        list(load(Fateful(lambda: os.kill(os.getpid(), number)), 2))
    (message,), code = describe(raised.value)
    assert code == 1
    assert message.startswith(says)
    assert message.endswith("and start again, with --resume where the command has it")
    assert time.monotonic() - began < 60


def test_worker__that_is_killed_is_reported_where_a_batch_is_awaited(tmp_path: Path) -> None:
    """Not in what is done meanwhile: the file that is being written is whole, and is not blamed."""
    before = multiprocessing.active_children()
    batches = iter(load(Videos(), 2, batch_size=1))
    next(batches)
    with atomic_write(tmp_path / "metrics.csv") as temporary:
        for worker in {*multiprocessing.active_children()} - {*before}:
            worker.kill()
            os.waitid(os.P_PID, worker.pid or 0, os.WEXITED | os.WNOWAIT)  # which leaves its end for others to see
        temporary.write_text("loss")
    assert (tmp_path / "metrics.csv").read_text() == "loss"
    with pytest.raises(VtdlError, match="a worker process was killed by the system"):
        next(batches)


def test_worker__that_cannot_send_a_parcel_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be pickled stands in for what memory has no room to pickle."""
    monkeypatch.setattr(parcels, "pack", lambda *_, **__: lambda: None)
    with pytest.raises(VtdlError) as raised:
        list(load(Videos(), 1))
    assert "killed by the system" in describe(raised.value)[0][0]


def test_unpack__reports_too_many_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's own limit, reached between the worker's start and its first batch."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    batches = iter(load(Videos(), 1))
    unpack = parcels.Parcel.unpack

    def with_few_files(parcel: parcels.Parcel) -> Batch:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            return unpack(parcel)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    monkeypatch.setattr(parcels.Parcel, "unpack", with_few_files)
    with pytest.raises(Exception, match=r"cannot be received from its worker \(.*Too many open files\), most often"):
        next(batches)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts a file system over /dev/shm")
@pytest.mark.parametrize(
    ("size", "code", "says"),
    [
        ("300k", 0, "warning: batches are sent through pipes"),
        pytest.param("8k", 1, "error: workers cannot be started: no space left on", marks=pytest.mark.slow),
    ],
)
def test_shared_memory__full(toy: Toy, tmp_path: Path, size: str, code: int, says: str) -> None:
    """For real, as in a container: 300 kB hold locks and less than two batches of 200 kB, and 8 kB no locks."""
    line = [sys.executable, "-m", "vtdl_cli", *toy.extract("none", tmp_path / "f.h5", "--preset", str(toy.preset))]
    line += ["--workers", "2", "--clips", "4", "--set", "extract.batch_clips=64"]
    mounted = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} none /dev/shm && exec "$@"', "sh"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    result = subprocess.run([*mounted, *line], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == code, result.stderr
    assert [said for said in result.stderr.splitlines() if said.startswith(says)]
    assert "Traceback" not in result.stderr
    assert torch.cuda.is_available() or "Exception" not in result.stderr
