"""Copies to the device. On a GPU what counts is the order of the calls, which stands in for the streams here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch

from vtdl_cli.engine.networks.copying import copy_beside, to_device

CPU = torch.device("cpu")


def test_to_device__on_a_cpu_is_the_tensor_itself() -> None:
    windows = torch.zeros(2, dtype=torch.uint8)
    assert to_device({"windows": windows}, CPU)["windows"] is windows


def test_copy_beside__is_made_on_its_stream_and_awaited_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: torch's notes on CUDA streams: copy on the one, the other waits, and the allocator is told who reads."""
    calls = list[tuple[Any, ...]]()

    class Computing:
        def wait_stream(self, stream: object) -> None:
            calls.append(("waits for", stream))

    class Values:
        def to(self, device: torch.device, *, non_blocking: bool) -> "Values":
            calls.append(("copied", device, non_blocking))
            return self

        def record_stream(self, stream: object) -> None:
            calls.append(("read by", stream))

    @contextmanager
    def on(stream: object) -> Iterator[None]:
        calls.append(("enter", stream))
        yield
        calls.append(("leave", stream))

    computing, copying = Computing(), object()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: computing)
    monkeypatch.setattr(torch.cuda, "stream", on)
    values = Values()
    copies = copy_beside(cast(Any, {"windows": values}), CPU, cast(Any, copying))
    assert cast(Any, copies) == {"windows": values}
    assert calls == [
        ("enter", copying),
        ("copied", CPU, True),
        ("leave", copying),
        ("waits for", copying),
        ("read by", computing),
    ]
