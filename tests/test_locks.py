"""One writer at a time: who is refused, and what is left of a lock."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from tests.processes import ENVIRONMENT
from tests.toy import NUM_TRAIN, Toy, ends, files_in, refuse, start, start_processes, succeed
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.locks import FOLDER_LOCK, lock_file, lock_folder, releasing_locks
from vtdl_cli.runtime import SilentReporter

HOLDER = """
import os, sys, time
from pathlib import Path
from vtdl_cli.locks import releasing_locks, lock_folder
from vtdl_cli.runtime import SilentReporter

@releasing_locks
def hold():
    lock_folder(Path(sys.argv[1]), SilentReporter())
    child = os.fork()  # as a worker that outlives its parent
    if child:
        print(child, flush=True)
    time.sleep(600)

hold()
"""


@releasing_locks
def hold(out: Path, during: Callable[[], object] = lambda: None, *, is_file: bool = False) -> None:
    (lock_file if is_file else lock_folder)(out, SilentReporter())
    during()


class Ear(SilentReporter):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, text: str) -> None:
        self.heard.append(text)


def test_lock__leaves_nothing_but_what_was_written(tmp_path: Path) -> None:
    hold(tmp_path / "a" / "b", lambda: (tmp_path / "a" / "b" / FOLDER_LOCK).stat())
    hold(tmp_path / "c" / "d.h5", lambda: (tmp_path / "c" / ".d.h5.lock").stat(), is_file=True)
    assert list(tmp_path.iterdir()) == []
    hold(tmp_path / "a" / "b", (tmp_path / "a" / "x").touch)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "x"]


def test_lock__folder_that_takes_no_files_is_not_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /proc, where even root may create nothing."""

    def refuse_to_create(*_: object) -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("vtdl_cli.locks.os.open", refuse_to_create)
    with pytest.raises(UsageError, match=f"f.h5' cannot be written: '{tmp_path}' takes no files. Choose another --out"):
        hold(tmp_path / "f.h5", is_file=True)


def test_lock__is_refused_while_another_holds_it_and_free_once_that_is_killed(tmp_path: Path) -> None:
    """Though a process that it forked off lives on, and its file is still there."""
    out = tmp_path / "out"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    told = rf"output '{out}' is being written by process {holder.pid} on {socket.gethostname()}\. Wait until it ends"
    for _ in range(2):  # the refused one has taken nothing away
        with pytest.raises(VtdlError, match=told):
            hold(out)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert files_in(out) == {FOLDER_LOCK}
    hold(out)
    assert files_in(out) == set()
    os.kill(child, 9)


def test_lock__is_refused_twice_in_one_process(tmp_path: Path) -> None:
    """The system would give it a second time, and take both away with the second."""
    with pytest.raises(VtdlError, match=f"by process {os.getpid()} on"):
        hold(tmp_path / "x", lambda: hold(tmp_path / ".." / tmp_path.name / "x"))
    hold(tmp_path / "x")


def test_lock__of_a_file_that_its_holder_has_just_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock that counts is that of the file of this name."""
    fcntl = pytest.importorskip("fcntl")
    lockf, path = fcntl.lockf, tmp_path / FOLDER_LOCK
    removals = [path.unlink]

    def lock(descriptor: int, how: int) -> None:
        if removals:
            removals.pop()()
        lockf(descriptor, how)

    monkeypatch.setattr(fcntl, "lockf", lock)
    hold(tmp_path, path.stat)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["lock", "module"])
def test_lock__without_locks_warns_and_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    ear = Ear()
    if missing == "lock":
        monkeypatch.setattr("fcntl.lockf", lockf)
    else:
        monkeypatch.setattr("vtdl_cli.locks.fcntl", None)
    releasing_locks(lock_folder)(tmp_path / "out", ear)
    reason = "its file system: no locks available" if missing == "lock" else "this system has no POSIX locks"
    told = f"output '{tmp_path / 'out'}' is not locked ({reason}). Do not start a second writer"
    assert ear.heard == [told]
    assert list(tmp_path.iterdir()) == []


def test_lock__where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file. Choose another --out"):
        hold(tmp_path / "file" / "out")


def lines(toy: Toy, pretrained: Path, finetuned: Path, out: Path) -> dict[str, list[str]]:
    """Commands that write, each allowed to replace or to resume what is there."""
    given = ["--root", str(toy.root), "--out", str(out)]
    return {
        "pretrain": toy.pretrain(out, "--resume"),
        "finetune": toy.finetune(out, "--overwrite"),
        "evaluate": toy.evaluate(finetuned, out, "--overwrite"),
        "extract": toy.extract(pretrained, out, "--resume"),
        "compress": ["compress", str(toy.train_list), *given, "--resume"],
        "extract-frames": ["extract-frames", str(toy.train_list), *given, "--overwrite"],
        "prepare-lists": ["prepare-lists", "folder", *given, "--overwrite"],
        "lists convert": ["lists", "convert", str(toy.train_list), *given, "--overwrite"],
        "convert": ["convert", str(pretrained), "--out", str(out), "--overwrite"],
        "plot runs": ["plot", "runs", str(pretrained), "--out", str(out), "--overwrite"],
        "report": ["report", str(finetuned), "--out", str(out), "--overwrite"],
        "visualize triplet": ["visualize", "triplet", *toy.pretrain(out)[1:3], "--list", str(toy.train_list), *given],
        "demo": ["demo", "--out", str(out), "--resume"],
        "ablate": ["ablate", *toy.finetune(out)[1:], "--rows", "scratch", "--resume"],
    }


FILES = ("extract", "plot runs", "report", "visualize triplet")


@pytest.mark.parametrize("command", list(lines(Toy(*[Path()] * 4), Path(), Path(), Path())))
def test_second_command__is_refused_in_one_line(
    toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path, command: str
) -> None:
    out, says = tmp_path / "new" / "out", "out' is being written by process"
    line = lines(toy, pretrained, finetuned, out)[command]
    hold(
        out,
        lambda: refuse(*line, code=1, says=(says,)),
        is_file=command in FILES,
    )
    assert list(tmp_path.iterdir()) == []


def test_second_command__is_refused_where_the_file_beside_is_in_use(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    line = toy.extract(pretrained, tmp_path / "f.h5", "--npy")
    hold(tmp_path / "f.npy", lambda: refuse(*line, code=1, says=("f.npy' is being written by",)), is_file=True)
    line = [
        "visualize",
        "--weights",
        str(pretrained),
        str(next(toy.root.rglob("*.mp4"))),
        "--out",
        str(tmp_path / "v.mp4"),
    ]
    hold(tmp_path / "v.png", lambda: refuse(*line, code=1, says=("v.png' is being written by",)), is_file=True)
    assert list(tmp_path.iterdir()) == []


def test_second_command__may_read_and_dry_run(toy: Toy, tmp_path: Path) -> None:
    """Readers need no lock."""
    run = tmp_path / "run"
    succeed(*toy.pretrain(run, "--set", "pretrain.epochs=1"))
    hold(run, lambda: succeed(*toy.pretrain(run, "--resume", "--dry-run")))
    hold(run, lambda: succeed("plot", str(run), "--out", str(tmp_path / "curves.png")))
    hold(run, lambda: succeed(*toy.extract(run, tmp_path / "f.h5")))
    hold(tmp_path / "g.h5", lambda: succeed(*toy.extract(run, tmp_path / "g.h5", "--dry-run")), is_file=True)


def test_second_command__of_several_processes_ends_on_all_ranks(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said: list[tuple[int, str, str]] = []
    hold(run, lambda: said.extend(ends(start_processes(2, "-m", "vtdl_cli", *toy.pretrain(run, "--resume")))))
    (code, _, stderr), (other, *silence) = said
    assert (code, other, silence) == (1, 1, ["", ""])
    assert stderr.splitlines()[-1].startswith(f"error: output '{run}' is being written by process {os.getpid()} on")
    assert not run.exists()


def test_two_extractions_at_once__leave_one_file(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the list: the second is refused, or comes late and finds it finished."""
    line = toy.extract(pretrained, tmp_path / "f.h5", "--resume", "--list", str(toy.train_list))
    codes = [(code, stderr) for code, _, stderr in ends([start(*line) for _ in range(2)])]
    assert 0 in [code for code, _ in codes]
    for code, stderr in codes:
        assert code == 0 or stderr.startswith(
            f"error: output '{tmp_path / 'f.h5'}' is being written by "
        )  # whom may be over
    with h5py.File(tmp_path / "f.h5") as file:
        assert len(set(file["paths"][:])) == len(file["labels"]) == NUM_TRAIN
    assert files_in(tmp_path) == {"f.h5"}


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_lock_file__a_folder_is_refused(out: str) -> None:
    """Also one whose path has no name, beside which no lock file can be named."""
    refuse(
        "features",
        "merge",
        "a.h5",
        "b.h5",
        "--out",
        out,
        code=2,
        says=(f"output '{out}' is a folder. Name a file in it: --out",),
    )
