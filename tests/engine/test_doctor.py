"""`vtdl doctor`: each check, on machines that lack one thing."""

import errno
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
import torch

from tests.toy import succeed, vtdl
from vtdl_cli.data.video import samples
from vtdl_cli.engine.doctor import decoders, devices
from vtdl_cli.engine.doctor.examination import Examination, Finding
from vtdl_cli.engine.doctor.examine import CHECKS, examine, run_check
from vtdl_cli.engine.networks.conv3d_defects import find_known_defect, measure_conv3d_error
from vtdl_cli.errors import Interrupted, UsageError


@pytest.fixture
def here(tmp_path: Path) -> Examination:
    """This machine's CPU, with outputs to go into an empty folder."""
    return Examination("cpu", tmp_path, tmp_path)


def found(name: str, examination: Examination) -> Finding:
    return run_check(CHECKS[name], examination, debug=True)


@pytest.mark.chain
def test_doctor__this_machine_runs(tmp_path: Path) -> None:
    """Tests run here, so that no check may fail; the JSON is complete, and the folder is left as it was."""
    result = json.loads(succeed("doctor", "--json", "--device", "cpu", "--folder", str(tmp_path)).stdout)
    assert result["runs"] is True
    assert [each["check"] for each in result["checks"]] == list(CHECKS)
    assert {each["verdict"] for each in result["checks"]} <= {"ok", "warning"}
    [training] = [each for each in result["checks"] if each["check"] == "training"]
    assert "ms a step" in training["found"]
    assert not list(tmp_path.iterdir())


def test_doctor__failure_is_exit_1_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {"disk": CHECKS["disk"], "locks": CHECKS["locks"]}
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("vtdl_cli.engine.doctor.examine.examine.__defaults__", (tuple(checks),))
    result = vtdl("doctor", "--folder", str(file / "below"))
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first == (
        f"fail     disk: output folder '{file / 'below'}' cannot be created: '{file}' is a file. Choose another --folder"
    )
    assert second == "fail     locks: for the same reason as disk"
    assert "error: 2 of 2 checks failed (disk, locks): a run would fail." in result.stderr
    assert result.stderr.endswith(f"then: vtdl doctor --folder {file / 'below'}\n")


def test_disk__folder_that_takes_no_files(here: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /proc, where all folders are open to root, who may not create anything there."""
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/x")
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=error))
    says = f"output folder '{here.folder}' cannot be written: no such file or directory. Choose another --folder"
    assert found("disk", here) == found("locks", here) == Finding("fail", says)


def test_run_check__exceptions_are_failures_except_an_interruption(here: Examination) -> None:
    def raising(error: BaseException) -> Finding:
        def check(_: Examination) -> Finding:
            raise error

        return run_check(check, here)

    assert raising(UsageError("no room")) == Finding("fail", "no room")
    assert raising(OSError("a\nb")).found == "OSError: a b"
    with pytest.raises(KeyboardInterrupt):
        raising(Interrupted("SIGINT after step 1"))


def test_examine__a_cause_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is asked for and absent fails all checks that need it, the first of which says so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    findings = examine("cuda", tmp_path, Mock(), ["device", "precision", "disk", "NCCL"])
    assert "sees no such GPU. Use --device cpu" in findings["device"].found
    assert findings["precision"] == findings["NCCL"] == Finding("fail", "for the same reason as device")
    assert findings["disk"].verdict != "fail"


@pytest.mark.parametrize(
    ("dtype", "says"),
    [(torch.bfloat16, "bf16"), (torch.float16, "fp16: the device has no bf16"), (None, "fp32: the dev")],
)
def test_check_precision__says_what_auto_means(dtype: torch.dtype | None, says: str, tmp_path: Path) -> None:
    with patch.object(devices, "select_autocast", lambda *_: dtype):
        found = devices.check_precision(Examination("cpu", tmp_path, tmp_path)).found
    assert found.startswith(says)


def test_versions__a_library_that_does_not_import_fails_and_is_named(
    here: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    finding = found("versions", here)
    assert finding.verdict == "fail"
    assert "h5py" in finding.found


def test_examine__without_torch_every_other_check_still_runs(tmp_path: Path) -> None:
    """In a process of its own, where `import torch` fails as on a machine without its libraries."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from vtdl_cli.engine.doctor.examine import CHECKS, examine\n"
        "names = [name for name in CHECKS if not name.startswith('decod')]\n"
        f"examine('auto', Path({str(tmp_path)!r}), lambda name, finding: print(finding.verdict, name), names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    verdicts = {name: verdict for verdict, name in lines}
    assert {name for name, verdict in verdicts.items() if verdict != "fail"} >= {"system", "disk", "locks"}
    assert verdicts["versions"] == verdicts["device"] == verdicts["training"] == "fail"


@pytest.mark.parametrize(("threads", "says"), [(1, "cpu, 1 thread"), (2, "cpu, 2 threads")])
def test_device__counts_threads(here: Examination, monkeypatch: pytest.MonkeyPatch, threads: int, says: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert found("device", here).found == says


@pytest.mark.parametrize(
    ("error", "says"),
    [(0.0031, "the error is 0.3% of the results; "), (2e-7, "the error is below 0.001% of the results; ")],
)
def test_conv3d__error_in_words(here: Examination, monkeypatch: pytest.MonkeyPatch, error: float, says: str) -> None:
    monkeypatch.setattr("vtdl_cli.engine.networks.conv3d_defects.measure_conv3d_error", lambda *_: error)
    monkeypatch.setattr("vtdl_cli.engine.networks.conv3d_defects.find_known_defect", lambda *_: ("", ""))
    assert found("Conv3d", here).found.startswith(says)


def test_device__absent_gpu(here: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for: a failure. Installed, but not seen by torch: a warning. Absent: fine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert found("device", Examination("cuda", here.folder, here.scratch)).verdict == "fail"
    auto = Examination("auto", here.folder, here.scratch)
    for program, verdict in (("/usr/bin/nvidia-smi", "warning"), (None, "ok")):
        monkeypatch.setattr(shutil, "which", lambda _, program=program: program)
        assert found("device", auto).verdict == verdict


@pytest.mark.parametrize(
    ("name", "patched", "value", "verdict"),
    [
        ("shared memory", "vtdl_cli.data.clips.loading.free_shared_memory", 64 * 2**20, "warning"),
        ("shared memory", "vtdl_cli.data.clips.loading.free_shared_memory", float("inf"), "ok"),
        ("open files", "vtdl_cli.data.clips.loading.max_open_files", 128, "warning"),
        ("open files", "vtdl_cli.data.clips.loading.max_open_files", 1024, "ok"),
    ],
)
def test_limits(
    name: str, patched: str, value: float, verdict: str, here: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patched, lambda: value)
    assert found(name, here).verdict == verdict


@pytest.mark.parametrize(("free", "verdict"), [(2**20, "fail"), (2**28, "warning"), (2**33, "ok")])
def test_disk__free_space(free: int, verdict: str, here: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert found("disk", here).verdict == verdict


def test_locks__file_system_without_them_is_a_warning(here: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtdl_cli.locks.fcntl", None)
    assert found("locks", here).verdict == "warning"


def test_conv3d__known_defects_by_version() -> None:
    """By hand, from the reports: pytorch#163539 is cuDNN 9.10.2 before torch 2.9, #166122 cuDNN below 9.15 since."""
    assert "wrong" in find_known_defect("2.8.0+cu128", 91002)[0]
    assert "slow" in find_known_defect("2.9.0+cu128", 91002)[0]
    assert "slow" in find_known_defect("2.10.0", 91400)[0]
    for version, cudnn in (("2.10.0+cu130", 91500), ("2.15.0a0+git1", None), ("2.9.1", 90701)):
        assert find_known_defect(version, cudnn) == ("", "")


def test_conv3d__wrong_gradients_fail(here: Examination, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 agrees with float64 to its 24 bits; twice the gradient is an error of 1."""
    assert measure_conv3d_error(torch.device("cpu"), None, frames=2) < 1e-5
    monkeypatch.setattr("vtdl_cli.engine.networks.conv3d_defects.measure_conv3d_error", lambda *_, **__: float("nan"))
    assert found("Conv3d", here).verdict == "fail"


def test_decoder__reads_what_it_returns_correctly(here: Examination) -> None:
    """decord's FFmpeg of 2019 has no AV1; PyAV reads all it can write."""
    files = samples.write_samples(here.scratch)
    read = {name: samples.read_sample(("pyav", file)) for name, file in files.items()}
    assert set(read.values()) == {""}
    here.unread = {"pyav": read, "decord": {**read, "AV1 in MP4": "decord does not support its codec"}}
    assert found("decoder pyav", here).verdict == "ok"
    assert "not AV1 in MP4" in found("decoder decord", here).found


def test_decoder__wrong_frames_are_found(here: Examination) -> None:
    """A reader that returns the next frame instead: 12 of 255 brighter."""
    file = samples.write_samples(here.scratch)["H.264 in MP4"]
    assert samples.read_sample(("pyav", file), order=(3,)) == ""
    samples_shifted = samples.GREYS + 12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "GREYS", samples_shifted)
        assert "frames are not those requested" in samples.read_sample(("pyav", file))
    here.unread = {"pyav": {"MPEG-4 in AVI": "", "H.264 in MP4": "1 of 3 frames are not those requested"}}
    assert found("decoder pyav", here).verdict == "fail"


def test_decoder__not_installed_matters_for_the_default_only(
    here: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("decord", "torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, library, None)
    assert found("decoder torchcodec", here).verdict == "ok"
    for default, verdict in (("decord", "fail"), ("pyav", "ok")):
        monkeypatch.setattr(decoders, "Data", lambda default=default: type("D", (), {"decoder": default}))
        assert found("decoder decord", here).verdict == verdict


def test_examine__reports_each_finding_at_once(tmp_path: Path) -> None:
    reported: list[str] = []
    examine("cpu", tmp_path, lambda name, _: reported.append(name), ["system", "disk"])
    assert reported == ["system", "disk"]
