"""`vtdl presets list|show|copy`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.completion import complete_preset

presets = typer.Typer(
    no_args_is_help=True, help="List, show and copy presets: files with all settings of an experiment."
)

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A preset by name, or a YAML file.", autocompletion=complete_preset),
]


@presets.command("list", epilog="Examples:\n\nvtdl presets list\n\nvtdl presets list --json")
def list_presets(as_json: o.JsonOption = False, debug: o.DebugOption = False) -> None:
    """List all presets with a short description."""
    import json

    from vtdl_cli.settings import find_preset, preset_names

    titles = {
        name: find_preset(name).read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name in preset_names()
    }
    if as_json:
        typer.echo(json.dumps(titles, indent=2))
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        typer.echo(f"{name:<{width}}  {title}")


@presets.command(epilog="Examples:\n\nvtdl presets show hmdb51/i3d\n\nvtdl presets show demo --set pretrain.epochs=5")
def show(
    name: NameArgument, assignments: o.SetOption = None, as_json: o.JsonOption = False, debug: o.DebugOption = False
) -> None:
    """Print a preset as written; with --set or --json resolved, with every setting."""
    import json

    from vtdl_cli.commands.screen import make_reporter
    from vtdl_cli.settings import find_preset, load_config
    from vtdl_cli.text import printable_lines

    config = load_config(name, assignments or (), make_reporter(False).warn)
    if assignments:
        from vtdl_cli.engine.networks.methods import check_config

        check_config(config, assignments)
    if as_json:
        typer.echo(json.dumps(config.to_dict(), indent=2))
    else:
        text = config.to_yaml() if assignments else find_preset(name).read_text(encoding="utf-8")
        typer.echo(printable_lines(text.expandtabs()), nl=False)


@presets.command(
    epilog="Examples:\n\nvtdl presets copy ucf101/r3d mine.yaml\n\nvtdl presets copy demo small.yaml --overwrite"
)
def copy(
    name: NameArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="File to write.")],
    overwrite: o.OverwriteOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Copy a preset to a file, to edit and pass to --preset."""
    from vtdl_cli.commands.screen import print_line
    from vtdl_cli.errors import UsageError
    from vtdl_cli.runtime import write_text
    from vtdl_cli.settings import find_preset

    source = find_preset(name)
    if target.is_dir():
        raise UsageError(f"target '{target}' is a folder. Name a file: {target}/{source.name}")
    if target.exists() and not overwrite:
        raise UsageError(f"target '{target}' exists. Use --overwrite, or name another file")
    write_text(target, source.read_text(encoding="utf-8"))
    print_line(f"copied {name} to {target}")
