"""The README's commands, run in the order in which a newcomer would."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.toy import Toy, succeed
from vtdl_cli.cli import app

README = Path(__file__).parent.parent / "README.md"
LESS = {  # for eighteen videos and one core
    "pretrain": ("--set", "pretrain.epochs=1", "--set", "pretrain.batch_size=4"),
    "finetune": ("--set", "finetune.epochs=1"),
}
MADE = {
    "prepare-lists": "lists/train_split_1.txt",
    "pretrain": "runs/pretrained/checkpoints/last.pt",
    "finetune": "runs/finetuned/checkpoints/best.pt",
    "evaluate": "results/metrics.json",
    "retrieve": "retrieval.png",
    "report": "runs/finetuned/report.html",
}


def commands(*, in_loops: bool = False) -> list[list[str]]:
    """Every whole command of the README's shell blocks, in order; those that measure are in loops."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    chosen = [block for block in blocks if block.startswith("for ") == in_loops]
    lines = [part.strip() for block in chosen for line in block.splitlines() for part in line.split("&&")]
    return [shlex.split(line)[1:] for line in lines if line.startswith("vtdl ")]


def test_readme__set_up_is_one_line_each() -> None:
    text = README.read_text(encoding="utf-8")
    assert "\npip install -e . && vtdl demo\n" in text
    assert "\npip install -e '.[dev]' && pytest\n" in text


@pytest.mark.chain
@pytest.mark.usefixtures("real_pictures")
def test_readme__commands_run_in_order(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").symlink_to(toy.root)
    monkeypatch.chdir(tmp_path)
    first, *chain = commands()
    assert first == ["demo"]  # tests/engine/demo/test_demo.py runs it
    assert [line[0] for line in chain] == [
        "prepare-lists", "pretrain", "finetune", "evaluate", "extract", "extract", "probe", "retrieve", "report",
    ]  # fmt: skip
    for name, *options in chain:
        succeed(name, *options, *LESS.get(name, ()))
        assert name not in MADE or (tmp_path / MADE[name]).exists()
    assert {path.name for path in tmp_path.glob("*.h5")} == {"train.h5", "val.h5"}


@pytest.mark.parametrize("line", commands(in_loops=True), ids=" ".join)
def test_readme__loops_hold_commands_that_parse(line: list[str]) -> None:
    values = {"$seed": "1", "$epochs": "25", "$small": "", "$settings": "", "$fresh": "", "$groups": ""}
    words = [
        re.sub(r"\$(seed|epochs|small|settings|fresh|groups)", lambda match: values[match[0]], word) for word in line
    ]
    words = [word for word in words if word]
    parser: Any = typer.main.get_command(app)
    while hasattr(parser, "commands"):
        parser = parser.commands[words.pop(0)]
    parser.make_context("vtdl", words)


def test_readme__map_names_every_part() -> None:
    """Oracle: the folders themselves."""
    text = README.read_text(encoding="utf-8")
    tree = text[text.index("## Map") : text.index("## Files")]
    package = README.parent / "vtdl_cli"
    parts = [path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert [name for name in parts if name != "__init__.py" and name not in tree] == []
    engine = tree[tree.index("  engine/ ") : tree.index("  method/ ")]
    rooms = [f"{path.parent.name}/" for path in (package / "engine").glob("*/__init__.py")]
    assert [room for room in rooms if room not in engine] == []
    not_commands = {
        "--init--",
        "options",
        "screen",
        "audit-summary",
        "presets",
        "default-command",
        "transcode",
        "unknown-options",
    }
    commands_there = {path.stem.replace("_", "-") for path in (package / "commands").glob("*.py")} - not_commands
    assert [name for name in (*commands_there, "compress", "extract-frames") if name not in engine] == []


def ablation_commands() -> list[str]:
    """Of the table of published rows; what every command needs besides is `...` there."""
    text = README.read_text(encoding="utf-8")
    table = text[text.index("| row of the published ablation") :].split("\n\n")[0]
    return re.findall(r"`vtdl (.*?) \.\.\.`", table)


def test_readme__ablation_has_a_command_for_each_row() -> None:
    """Oracle: the published rows: two from scratch, two pretrained; and the untabulated one, pretrained, too."""
    assert [line.split()[0] for line in ablation_commands()] == ["finetune"] * 2 + ["pretrain"] * 3


@pytest.mark.parametrize("line", ablation_commands())
def test_readme__ablation_commands_pass_their_checks(line: str, toy: Toy, tmp_path: Path) -> None:
    """For both data sets; a batch of four, as the list has twelve videos."""
    name, *options = shlex.split(line)
    lists = toy.pretrain(tmp_path / "run") if name == "pretrain" else toy.finetune(tmp_path / "run")
    less = ("--set", f"{name}.batch_size=4", "--dry-run", "--json")
    for preset in ("hmdb51/i3d", "ucf101/i3d"):
        chosen = [preset if word == "hmdb51/i3d" else word for word in options]
        plan = json.loads(succeed(*lists, *chosen, *less).stdout)
        assert plan["stage"] == name
