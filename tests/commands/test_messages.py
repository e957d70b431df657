"""What messages tell the user to type can be pasted."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vtdl_cli

PACKAGE = Path(vtdl_cli.__file__).parent
HELP = ("help", "metavar", "epilog")
PLACEHOLDER = re.compile(r"(--[a-z-]+|vtdl [a-z ]+) (\.\.\.|[A-Z]{3,}\b(?![.-]))|=\.\.\.")
ABSTRACT = {
    "engine/weights/model_card.py": "a page for others, about a file that they have yet to put somewhere",
    "settings.py": "no value could be an example for every key",
}


def shown_texts(module: Path) -> Iterator[str]:
    """The texts that may be shown while a command runs: neither docstrings nor help, which has a notation of its own."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    helps = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in HELP]
    docstrings = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    silent = {id(part) for node in (*helps, *docstrings) if not calls(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def calls(node: ast.AST) -> bool:
    """Whether it is a statement that does something, such as a call or a yield."""
    return isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)


def test_messages__can_be_pasted() -> None:
    """Where a value is not known, a next step has that of the READMEs, such as runs/finetuned, not RUN or ... ."""
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    shown = {name: [text for text in shown_texts(path) if PLACEHOLDER.search(text)] for name, path in modules.items()}
    assert {name: texts for name, texts in shown.items() if texts and name not in ABSTRACT} == {}


@pytest.mark.parametrize("text", ["First: vtdl evaluate --weights RUN", "vtdl extract ... --out a", "--set a.b=..."])
def test_placeholder__finds_every_kind(text: str) -> None:
    assert PLACEHOLDER.search(text)


@pytest.mark.parametrize("text", ["Add --root videos", "vtdl predict --timeline. It", "--format npy CSV"])
def test_placeholder__leaves_words(text: str) -> None:
    assert not PLACEHOLDER.search(text)
