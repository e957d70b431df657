"""`vtdl report`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl report runs/finetuned

vtdl report runs/finetuned --results results --retrieval retrieval.json --out finetuned.html
"""


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of either stage.")],
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Results folder of vtdl evaluate, or a folder above several; may be repeated. Default: all in RUN.",
        ),
    ] = None,
    retrieval: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="JSON or figure (PNG) of vtdl retrieve; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Page to write. Default: RUN/report.html.")] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write a run and its results as one HTML page.

    It is self-contained: settings, curves, accuracies, confusion matrix, examples, provenance.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.report.report import report

    result = report(
        run, make_reporter(quiet), out=out, results=results or (), retrievals=retrieval or (), overwrite=overwrite
    )
    print_result(result, as_json, "report")
