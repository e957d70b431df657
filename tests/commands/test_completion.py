"""What <TAB> offers, through the shell's own way to ask."""

import os
import subprocess
import sys

import pytest

from vtdl_cli.commands.completion import complete_preset, complete_setting
from vtdl_cli.settings import preset_names

ASK = "import sys; from vtdl_cli.__main__ import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"


def ask_bash(line: str) -> tuple[list[str], str]:
    """What bash is offered for the last word of a line, and whether torch was imported for it."""
    asked = {"_VTDL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    code = [sys.executable, "-c", f"import sys; sys.argv = ['vtdl']\n{ASK}"]
    done = subprocess.run(code, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    return done.stdout.split(), done.stderr.strip()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vtdl pretrain --preset hmdb51/i3d", ["hmdb51/i3d", "hmdb51/i3d-author"]),
        ("vtdl finetune --set finetune.backbone", ["finetune.backbone_lr_scale="]),
        ("vtdl presets show wei", ["weizmann/r3d"]),
    ],
)
def test_tab__completes_without_torch(line: str, expected: list[str]) -> None:
    assert ask_bash(line) == (expected, "False")


def test_complete_preset__offers_all() -> None:
    """Oracle: the presets there are."""
    assert complete_preset("") == preset_names()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pretrain.optimizer.l", ["pretrain.optimizer.lr="]),
        ("pretrain.optimizer", [f"pretrain.optimizer.{name}=" for name in ("name", "lr", "momentum", "weight_decay")]),
        ("data.decoder=p", ["data.decoder=pyav"]),
        ("method.tca.side=", [f"method.tca.side={name}" for name in ("query", "key", "both")]),
        ("pretrain.augment=", ["pretrain.augment=true", "pretrain.augment=false"]),
        ("pretrain.epochs=", []),
        ("nosuch.key=", []),
    ],
)
def test_complete_setting__offers_keys_then_values(typed: str, offered: list[str]) -> None:
    """Oracle: config.py, by hand; sections are no settings."""
    assert complete_setting(typed) == offered
