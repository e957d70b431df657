"""`vtdl lists check|convert`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.prepare_lists import SMALLEST_PRESET


def _column(content: str) -> Any:
    return typer.Option(
        metavar="NAME",
        help=f"Name, in the first line, of the column of {content}. Default: guessed.",
        rich_help_panel="Columns of a table",
    )


lists = typer.Typer(no_args_is_help=True, help="Check a list that you have, or convert that of another project.")


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

vtdl lists convert labels.csv --root videos --out lists

vtdl lists convert EPIC_100_train.csv --label-column verb_class --root videos --out lists/train.csv
""",
)
def convert_list(
    path: o.ListArgument,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.txt|FILE.csv|FOLDER",
            help="List to write: path, class, frames; as CSV also names of classes, start, end; or a folder for a "
            "list of each part of the split.",
        ),
    ],
    path_column: Annotated[str | None, _column("paths or ids")] = None,
    label_column: Annotated[str | None, _column("classes, names or numbers")] = None,
    split_column: Annotated[str | None, _column("train, val or test")] = None,
    group_column: Annotated[str | None, _column("groups that stay in one list")] = None,
    start_column: Annotated[str | None, _column("starts of intervals, in seconds or hours:minutes:seconds")] = None,
    end_column: Annotated[str | None, _column("ends of intervals")] = None,
    val_fraction: Annotated[
        float, typer.Option(help="Fraction of each class for validation, if the list has no parts; 0: none.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Seed of that random draw.")] = 0,
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
    """Rewrite the list or annotations of another project in our format; videos named by ids are found below --root.

    CSV and tables with tabs or semicolons; JSON of Something-Something v2,
    Diving48, mmaction2, ActivityNet, Kinetics; Jester, EPIC-Kitchens, UCF-Crime;
    lists of lines. Missing frame counts are determined from the videos.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.lists.convert import ConvertOptions, convert_list

    columns = {
        "path": path_column,
        "label": label_column,
        "split": split_column,
        "group": group_column,
        "start": start_column,
        "end": end_column,
    }
    source = o.list_source(path, root, strip_prefix, list_columns, columns)
    options = ConvertOptions(decoder, workers, int(from_one), val_fraction, seed, overwrite)
    reporter = make_reporter(quiet)
    result = convert_list(source, out, reporter, options)
    print_result(result, as_json, "converted")
    if as_json:
        return
    from vtdl_cli.engine.lists.outputs import side_of_list

    lists = {side_of_list(file): file for file in map(Path, result["lists"])}
    typed = o.retype(SMALLEST_PRESET, None)
    for line in o.commands_for_lists(lists, root or path.parent, typed, has_classes=not result["unlabelled"]):
        reporter.line(f"next: {line}")
