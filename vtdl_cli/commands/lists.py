"""`vtdl lists check|convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

lists = typer.Typer(no_args_is_help=True, help="Look at a list that exists, and rewrite it.")

ListArgument = Annotated[Path, typer.Argument(metavar="LIST", help="A list of videos, in any order of columns.")]


@lists.command(
    epilog="""Examples:

vtdl lists check lists/train_split_1.txt --root videos

vtdl lists check lists/train_split_1.txt --root videos --open --json
"""
)
def check(
    path: ListArgument,
    open_videos: Annotated[
        bool, typer.Option("--open", help="Also open the videos that are there, and count their frames.")
    ] = False,
    decoder: o.DecoderOption = "decord",
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Say how a list reads, which of its videos are there, and what would make the others be found."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.engine.lists.check import check_list
    from vtdl_cli.errors import ListError

    source = o.list_source(path, root, strip_prefix, list_columns)
    report = check_list(source, speaker(quiet), open_videos=open_videos, decoder=decoder, workers=workers)
    show(report, as_json, f"list: {path}")
    if report["problems"]:
        raise ListError(*(f"list '{path}': {problem}" for problem in report["problems"]))


@lists.command(
    epilog="""Examples:

vtdl lists convert authors_list.txt --out lists/train.txt --strip-prefix /data/hmdb51

vtdl lists convert trainlist01.txt --from-one --root UCF-101 --out lists/train.txt
"""
)
def convert(
    path: ListArgument,
    out: Annotated[Path, typer.Option(help="List to write: path, class, frames.")],
    from_one: Annotated[
        bool, typer.Option("--from-one", help="The list counts classes from 1, as UCF101's own do: write them from 0.")
    ] = False,
    decoder: o.DecoderOption = "decord",
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Rewrite a list in the canonical order; frames that it does not give are counted."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.engine.lists.check import convert_list

    source = o.list_source(path, root, strip_prefix, list_columns)
    result = convert_list(
        source,
        out,
        speaker(quiet),
        decoder=decoder,
        workers=workers,
        first_class=int(from_one),
        overwrite=overwrite,
    )
    show(result, as_json, "converted")
