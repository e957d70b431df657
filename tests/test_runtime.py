import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import (
    SilentReporter,
    StopRequest,
    atomic_write,
    check_writable,
    default_workers,
    seed_torch,
    select_autocast,
    select_device,
    unused_path,
)
from vtdl_cli.system import STOP_SIGNALS

CPU = torch.device("cpu")


def test_atomic_write__is_whole_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed\nat x")]
)
def test_atomic_write__failed_write_keeps_the_old_file(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(VtdlError, match=r"file '.*/a.txt' could not be written \((No space|write failed)"):
        fail()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("free", "says"), [(1000, "no space left on device"), (2**30, "enforce fail")])
def test_atomic_write__recognises_a_full_disk_behind_torchs_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, says: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(VtdlError, match=f"could not be written .*{says}"), atomic_write(tmp_path / "last.pt"):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1862016 vs 1861912")


@pytest.mark.parametrize(
    "error", [OSError(errno.EFBIG, "File too large"), RuntimeError("[enforce fail at inline_container.cc:672] .")]
)
def test_atomic_write__reports_a_limit_of_file_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Oracle: the words of Linux and torch under `ulimit -f 100`, as each was met."""
    monkeypatch.setattr("vtdl_cli.runtime.system_limit", lambda _: 102400)
    says = r"\([Ff]ile too large\)\. Allow larger files \(ulimit -f unlimited\) or choose another --out"
    with pytest.raises(VtdlError, match=says), atomic_write(tmp_path / "last.pt"):
        raise error


def test_atomic_write__other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_atomic_write__overwrites_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.part").write_text("half of an earlier run")
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_write__error_without_a_message_is_named(tmp_path: Path) -> None:
    with pytest.raises(VtdlError, match=r"\(OSError\)"), atomic_write(tmp_path / "a.txt"):
        raise OSError


def test_check_writable__accepts_what_can_be_created(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_check_writable__refuses_a_file_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for place in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UsageError, match=r"is a file. Choose another --out"):
            check_writable(place)


def test_check_writable__refuses_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who may run the tests, may write anywhere
    with pytest.raises(UsageError, match=r"is not writable. Choose another --out"):
        check_writable(tmp_path / "a")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_request__records_the_first_signal(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.received()
        os.kill(os.getpid(), number)
        assert stop.name == number.name
        assert stop.received() == number.name
    assert signal.getsignal(number) is before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_stop_request__nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.name == ""
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_stop_request__second_ctrl_c_does_not_wait() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.name == "SIGINT"


def test_unused_path__is_numbered(tmp_path: Path) -> None:
    assert unused_path(f"{tmp_path}/run") == f"{tmp_path}/run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run_2").symlink_to("nowhere")
    assert unused_path(f"{tmp_path}/run") == f"{tmp_path}/run_3"


def test_select_device__names() -> None:
    assert select_device("cpu") == CPU
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_select_device__refuses_an_absent_gpu(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '{name}' is not available.*Use --device cpu"):
        select_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:99999", "cuda:01"])
def test_select_device__refuses_a_gpu_beyond_the_last(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Pretended: a machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert select_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match=f"device '{name}' is not available: torch sees cuda:0, cuda:1. Choose"):
        select_device(name)


def test_select_autocast__by_option_and_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select_autocast("bf16", CPU) is torch.bfloat16
    assert select_autocast("fp32", CPU) is None
    for native, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert select_autocast("auto", CPU) is expected


@pytest.mark.parametrize(
    ("capability", "chosen"),
    [((9, 0), torch.bfloat16), ((7, 5), torch.float16), ((7, 0), torch.float16), ((6, 1), None)],
)
def test_select_autocast__auto_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], chosen: torch.dtype | None
) -> None:
    """Oracle: NVIDIA's tables: H100 9.0 has bf16; T4 7.5 and V100 7.0 have tensor cores for fp16; GTX 1080 6.1 neither."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _emulated: capability >= (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert select_autocast("auto", torch.device("cuda")) is chosen
    assert select_autocast("fp16", torch.device("cuda")) is torch.float16
    assert select_autocast("fp16", torch.device("cpu")) is None


def test_select_device__mps_is_explicit_and_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretended: `auto` stays with what has been tried."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = select_device("mps")
    assert mps.type == "mps"
    assert select_device("auto").type != "mps"
    assert select_autocast("auto", mps) is None


def test_seed_torch__repeats() -> None:
    draws = []
    for seed in (1, 1, 2):
        seed_torch(seed)
        draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_default_workers__one_a_core_at_most_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((1, 1), (3, 3), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert default_workers() == workers


def test_silent_reporter__prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reporter = SilentReporter()
    reporter.line("a")
    reporter.warn("b")
    with reporter.progress(3, "c") as bar:
        bar.advance(1, loss="d")
    assert capfd.readouterr() == ("", "")
