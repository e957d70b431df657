"""`vtdl fuse`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl fuse results-rgb/scores.h5 results-flow/scores.h5 --sweep

vtdl fuse results-rgb/scores.h5 results-flow/scores.h5 --weights 1,1.5 --out results-both --json
"""


def fuse(
    paths: Annotated[
        list[Path], typer.Argument(metavar="SCORES.H5...", help="scores.h5 of vtdl evaluate, of the same videos.")
    ],
    weights: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Weight of each file; divided by their sum. Default: equal weights."),
    ] = "",
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Also show top-1 for eleven weights of the second of two files. "
            "Choose a weight on other videos than those to report on.",
        ),
    ] = False,
    group_by: o.GroupsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json, scores.h5, per_class.csv and confusion.png.")
    ] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Average the scores of several networks, such as RGB and flow.

    The accuracy of the mean is measured.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import UsageError

    try:
        numbers = [float(text) for text in weights.split(",")] if weights else []
    except ValueError:
        raise UsageError(f"--weights '{weights}' is not a list of numbers. Example: --weights 1,1.5") from None
    from vtdl_cli.engine.evaluate.fuse import fuse

    reporter = make_reporter(quiet=False)
    result = fuse(paths, reporter, weights=numbers, sweep=sweep, group_by=group_by, out=out, overwrite=overwrite)
    print_result(result, as_json, "fused")
