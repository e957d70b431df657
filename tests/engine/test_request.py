"""Which videos of a list a dry run looks for, and what it says of those that do not exist."""

import shlex
from pathlib import Path

import pytest

from tests.toy import NUM_FRAMES, Toy, error_lines, refuse, succeed, vtdl
from vtdl_cli.engine import request


@pytest.fixture
def partly_there(tmp_path: Path) -> Path:
    """A list with classes, three of whose twelve videos exist."""
    names = [f"{name}/{name}_0.mp4 {label}" for label, name in enumerate(("blue", "green", "red"))]
    names += [f"gone/{number}.mp4 {number % 3}" for number in range(9)]
    path = tmp_path / "partly.txt"
    path.write_text("".join(f"{name} {NUM_FRAMES}\n" for name in names))
    return path


@pytest.mark.parametrize("command", ["pretrain", "finetune", "evaluate", "predict", "extract"])
def test_dry_run__counts_the_missing_videos(
    toy: Toy, finetuned: Path, partly_there: Path, tmp_path: Path, command: str
) -> None:
    """Oracle: what was put into the list; and the command that is proposed, which names as many."""
    out, videos = tmp_path / "out", str(partly_there)
    line = {
        "pretrain": [*toy.pretrain(out), "--train-list", videos],
        "finetune": [*toy.finetune(out), "--train-list", videos],
        "evaluate": toy.evaluate(finetuned, out, test_list=partly_there),
        "predict": ["predict", "--weights", str(finetuned), videos, "--root", str(toy.root), "--device", "cpu"],
        "extract": [*toy.extract(finetuned, out), "--list", videos],
    }[command]
    result = succeed(*line, "--dry-run", "--quiet")
    first = toy.root / "gone" / "0.mp4"
    [warning] = [text for text in result.stderr.splitlines() if "do not exist" in text]
    says, proposed = warning.split(". To see which: vtdl ")
    assert says == f"warning: list '{videos}': 9 of 12 videos do not exist, the first is '{first}'"
    checked = vtdl(*shlex.split(proposed))
    assert any("9 of 12 videos are missing" in text for text in error_lines(checked))
    assert "exist" not in succeed(*toy.pretrain(out), "--dry-run").stderr


def test_dry_run__looks_for_some_of_a_very_long_list(
    toy: Toy, partly_there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle, by hand: four of twelve, spread evenly, are the lines 1, 4, 8 and 12, of which only the first exists."""
    monkeypatch.setattr(request, "MOST_LOOKED_FOR", 4)
    line = [*toy.pretrain(tmp_path / "out"), "--dry-run"]
    said = succeed(*line, "--train-list", str(partly_there)).stderr
    assert "3 of 4 videos, spread evenly over its 12, do not exist, the first is" in said
    assert "gone/0.mp4" in said
    assert "4 videos, spread evenly over its 12, were looked for, and all exist" in succeed(*line).stderr


def test_dry_run__of_a_video_that_does_not_exist(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    videos = [str(tmp_path / "gone.mp4"), str(toy.root / "red" / "red_0.mp4")]
    said = succeed("predict", "--weights", str(finetuned), *videos, "--device", "cpu", "--dry-run").stderr
    assert f"warning: video '{videos[0]}' does not exist" in said


def test_dry_run__refuses_what_a_run_refuses(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    line = toy.evaluate(finetuned, tmp_path / "out", "--root", "/nowhere", "--dry-run")
    refuse(*line, code=1, says=("names videos that do not exist",))
