"""`vtdl bench evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

bench = typer.Typer(no_args_is_help=True, help="Measure where the time goes; nothing is written.")


@bench.command(
    epilog="""Examples:

vtdl bench evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos

vtdl bench evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos --workers 4 --json
"""
)
def evaluate(
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Finetuned run folder or checkpoint.")],
    test_list: Annotated[Path, typer.Option("--list", help="Labelled videos; a few dozen are enough.")],
    clips: o.ClipsOption = None,
    crops: o.CropsOption = 1,
    repeats: Annotated[int, typer.Option(min=1, help="How often all passes run, in turn; medians are reported.")] = 3,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Time decoding alone, the network alone, and evaluation as a whole."""
    from vtdl_cli.commands.screen import make_reporter, print_result

    how = o.execution(0, device, workers)
    from vtdl_cli.engine.evaluate.bench import bench_evaluate

    videos = o.list_source(test_list, root, strip_prefix, list_columns)
    result = bench_evaluate(
        weights, videos, how, make_reporter(quiet), o.protocol(clips, crops), tuple(assignments or ()), repeats=repeats
    )
    print_result(result, as_json, "bench evaluate")
