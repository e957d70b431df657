"""`vtdl lists check|convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

lists = typer.Typer(no_args_is_help=True, help="Check and convert existing lists.")


@lists.command(
    "check",
    epilog="""Examples:

vtdl lists check lists/train_split_1.txt --root videos

vtdl lists check lists/train_split_1.txt --root videos --open --json
""",
)
def check_list(
    path: o.VideosArgument,
    open_videos: Annotated[
        bool, typer.Option("--open", help="Also open the videos that exist, and count their frames.")
    ] = False,
    decoder: o.DecoderOption = "auto",
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Report how a list is read, which of its videos are missing, and which options would find them."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.lists.check import check_list
    from vtdl_cli.errors import ListError

    source = o.list_source(path, root, strip_prefix, list_columns)
    report = check_list(source, make_reporter(quiet), open_videos=open_videos, decoder=decoder, workers=workers)
    print_result(report, as_json, f"list: {path}")
    if report["problems"]:
        raise ListError(*(f"list '{path}': {problem}" for problem in report["problems"]))


@lists.command(
    "convert",
    epilog="""Examples:

vtdl lists convert authors_list.txt --out lists/train.txt --strip-prefix /data/hmdb51

vtdl lists convert trainlist01.txt --from-one --root UCF-101 --out lists/train.txt
""",
)
def convert_list(
    path: o.ListArgument,
    out: Annotated[Path, typer.Option(help="List to write: path, class, frames.")],
    from_one: Annotated[
        bool, typer.Option("--from-one", help="The list counts classes from 1, as in UCF101: write them from 0.")
    ] = False,
    decoder: o.DecoderOption = "auto",
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Rewrite a list in the canonical order of columns; missing frame counts are determined from the videos."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.lists.convert import convert_list

    source = o.list_source(path, root, strip_prefix, list_columns)
    result = convert_list(
        source,
        out,
        make_reporter(quiet),
        decoder=decoder,
        workers=workers,
        first_class=int(from_one),
        overwrite=overwrite,
    )
    print_result(result, as_json, "converted")
