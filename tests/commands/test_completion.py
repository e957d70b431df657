"""What <TAB> offers, through the shell's own way to ask."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from vtdl_cli.commands.completion import complete_preset, complete_setting
from vtdl_cli.settings import preset_names

ASK = "import sys; from vtdl_cli.__main__ import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"


def ask(line: str) -> tuple[list[str], str]:
    """What a shell is offered for the last word of a line, and whether torch was imported for it."""
    asked = {
        "_VTDL_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    }
    code = [sys.executable, "-c", f"import sys; sys.argv = ['vtdl']\n{ASK}"]
    done = subprocess.run(code, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    return done.stdout.split(), done.stderr.strip()


def script_of(shell: str) -> str:
    """What `vtdl --show-completion` prints for a shell."""
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # Typer then takes its name
    command = [sys.executable, "-m", "vtdl_cli", "--show-completion", shell]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of `vtdl --show-completion bash`, with a `vtdl` on the path that is this code."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    programs = tmp_path_factory.mktemp("programs")
    (programs / "vtdl").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vtdl_cli "$@"\n')
    (programs / "vtdl").chmod(0o755)
    return f"PATH={shlex.quote(str(programs))}:$PATH\n{script_of('bash')}"


@pytest.mark.parametrize(
    ("line", "words", "expected"),
    [
        ("vtdl finetune --set finetune.backbone", 3, ["nospace", "finetune.backbone_lr_scale="]),
        ("vtdl finetune --set method.tca.side=q", 5, ["query"]),
        ("vtdl finetune --set method.tca.side=", 4, ["query", "key", "both"]),
        ("vtdl finetune --set 'method.tca.side=q", 3, ["method.tca.side=query"]),
        ("vtdl finetune --root 'my videos' --preset wei", 5, ["weizmann/r3d"]),
        ("vtdl prepare-l", 1, ["prepare-lists"]),
        ("vtdl finetune --set pretrain.epochs=", 4, []),
    ],
)
def test_bash__completes_after_an_equals_sign(bash_script: str, line: str, words: int, expected: list[str]) -> None:
    """Oracle: bash's manual: words are split at `=`, the last alone is replaced, and `nospace` adds no blank."""
    asked = f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_CWORD={words} COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'"
    run = 'compopt() { echo "$2"; }\n_vtdl_completion vtdl\nprintf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{bash_script}\n{asked}\n{run}"], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (expected, "")


def test_zsh__adds_no_blank_after_a_key() -> None:
    """Oracle: zsh's manual: `compadd -S ''` ends a match with nothing in place of a blank."""
    assert "[[ $offered[1] == *= ]]; then\n    compadd -S ''" in script_of("zsh")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vtdl pretrain --preset hmdb51/i3d", ["hmdb51/i3d", "hmdb51/i3d-author"]),
        ("vtdl finetune --set finetune.backbone", ["finetune.backbone_lr_scale="]),
        ("vtdl presets show wei", ["weizmann/r3d"]),
    ],
)
def test_tab__completes_without_torch(line: str, expected: list[str]) -> None:
    assert ask(line) == (expected, "False")


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
