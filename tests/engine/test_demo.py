"""`vtdl demo`, with few videos and one epoch of everything: that it runs, prints its results, and writes its outputs."""

import json
import shlex
import statistics
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.toy import error_lines, files_in, refuse, succeed, vtdl
from vtdl_cli.data.video.motion import CLASSES

PER_CLASS, TEST_PER_CLASS = 16, 4
NETWORKS = ("from_scratch", "from_scratch_equal_time", "pretrained")
SMALL = ("--videos", str(PER_CLASS), "--set", "pretrain.epochs=1", "--set", "finetune.epochs=1", "--workers", "0")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> tuple[Path, dict[str, object]]:  # noqa: ARG001
    """The folder and the JSON of one demo; not to be changed."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, json.loads(succeed("demo", "--out", str(out), *SMALL, "--json").stdout)


def test_demo__result(shown: tuple[Path, dict[str, Any]]) -> None:
    out, result = shown
    assert json.loads((out / "demo.json").read_text()) == result
    assert result["chance"] == 100 / len(CLASSES)
    for name in NETWORKS:
        assert result[name].keys() == {"clip@1", "video@10", "knn", "seconds"}
        for protocol in ("clip@1", "video@10"):
            written = json.loads((out / name / protocol / "metrics.json").read_text())
            assert (written["top1"], written["protocol"]) == (result[name][protocol], protocol)
            assert written["selected_on_this_list"] is False  # it is validated once, after the last epoch
    assert (result["pretraining_videos"], result["test_videos"], result["labelled_videos"]) == (96, 32, 16)


def test_demo__labelled_videos_are_training_videos_and_no_test_videos(shown: tuple[Path, object]) -> None:
    lists = shown[0] / "lists"
    train, labelled, test = (
        set((lists / f"{name}_split_1.txt").read_text().splitlines()) for name in ("train", "labelled", "val")
    )
    assert labelled < train
    assert not train & test


def test_demo__equal_time_is_pretrainings_and_finetunings(shown: tuple[Path, dict[str, Any]]) -> None:
    """Oracle: the epochs that fit into the logged seconds of the other two runs, at the median epoch's pace."""
    out, _ = shown
    seconds = {
        name: [json.loads(line)["seconds"] for line in (out / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("pretraining", "from_scratch")
    }
    epochs = len((out / "from_scratch_equal_time" / "metrics.jsonl").read_text().splitlines())
    together = sum(seconds["pretraining"]) + sum(seconds["from_scratch"])
    assert epochs == round(together / statistics.median(seconds["from_scratch"]))


def test_demo__pictures_and_features(shown: tuple[Path, dict[str, Any]]) -> None:
    _, result = shown
    assert len(result["pictures"]) == 2
    assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in result["pictures"])
    with h5py.File(str(result["features"])) as file:
        assert file["features"].shape == (TEST_PER_CLASS * len(CLASSES), 64)


def test_demo__second_run_is_refused_and_a_resumed_one_changes_no_weights(
    shown: tuple[Path, dict[str, object]],
) -> None:
    out, before = shown
    files = files_in(out)
    weights = (out / "pretrained" / "checkpoints" / "last.pt").read_bytes()
    refuse("demo", "--out", str(out), *SMALL, code=2, says=("is not empty. Use --resume to continue",))
    after = json.loads(succeed("demo", "--out", str(out), *SMALL, "--resume", "--json").stdout)
    assert (out / "pretrained" / "checkpoints" / "last.pt").read_bytes() == weights
    assert files_in(out) == files
    assert {**after, "seconds": 0} == {**before, "seconds": 0}


@pytest.fixture(scope="module")
def text(shown: tuple[Path, object]) -> str:
    """What people see at the end of the demo."""
    return succeed("demo", "--out", str(shown[0]), *SMALL, "--resume", "--quiet").stdout


def test_demo__table_for_people(text: str) -> None:
    for words in (
        "from scratch",
        "pretrained without labels, finetuned",
        "Chance: 12.5%",
        "triplet.png",
        "vtdl prepare-lists",
    ):
        assert words in text


def test_demo__dry_run_leaves_nothing(tmp_path: Path) -> None:
    plan = json.loads(succeed("demo", "--out", str(tmp_path / "demo"), "--dry-run", "--json").stdout)
    assert (plan["videos"], plan["chance"]) == (672, 12.5)
    assert not (tmp_path / "demo").exists()


def test_demo__too_few_videos(tmp_path: Path) -> None:
    result = vtdl("demo", "--out", str(tmp_path / "demo"), "--videos", "3")
    assert result.exit_code == 2
    assert "--videos" in error_lines(result)[0]


def test_demo__refuses_to_resume_with_videos_of_another_seed(shown: tuple[Path, object]) -> None:
    says = "was begun with another --seed or --videos. Use --overwrite"
    refuse("demo", "--out", str(shown[0]), *SMALL, "--seed", "1", "--resume", "--quiet", code=2, says=(says,))


def test_demo__next_commands_run_with_its_own_settings(shown: tuple[Path, object], text: str) -> None:
    out, _ = shown
    commands = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("vtdl ")]
    finetune, probe, _ = commands
    assert finetune[:3] == ["finetune", "--preset", str(out / "pretraining" / "config.yaml")]
    succeed(*finetune, "--dry-run")
    succeed(*probe)
