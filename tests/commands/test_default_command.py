"""A group whose first command may go unnamed."""

import pytest
import typer
from typer.testing import CliRunner

from vtdl_cli.commands.default_command import FirstIsDefault

app = typer.Typer(cls=FirstIsDefault, no_args_is_help=True)


@app.command()
def runs(paths: list[str], loud: bool = False) -> None:
    typer.echo(f"runs {paths} {loud}")


@app.command()
def features(path: str) -> None:
    typer.echo(f"features {path}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["a", "b"], "runs ['a', 'b'] False"),
        (["--loud", "a"], "runs ['a'] True"),
        (["runs", "a"], "runs ['a'] False"),
        (["runs", "features"], "runs ['features'] False"),
        (["features", "a"], "features a"),
        (["./features"], "runs ['./features'] False"),
    ],
)
def test_first_command__may_go_unnamed(line: list[str], says: str) -> None:
    assert CliRunner().invoke(app, line).stdout == f"{says}\n"


@pytest.mark.parametrize("line", [[], ["--help"]])
def test_help__is_the_groups(line: list[str]) -> None:
    assert "COMMAND [ARGS]" in CliRunner().invoke(app, line).output
