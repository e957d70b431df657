"""`vtdl retrieve`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl retrieve --gallery train.h5 --query test.h5 --json

vtdl retrieve --gallery train.h5 --query test.h5 --root videos --figure retrieval.png --rows 8
"""


def retrieve(
    gallery: Annotated[Path, typer.Option(help="Features to search in, of the training videos: HDF5 of vtdl extract.")],
    query: Annotated[Path, typer.Option(help="Features to search for, of the test videos by the same network.")],
    figure: Annotated[
        Path | None, typer.Option(help="PNG to write: some queries with their 5 nearest videos. Default: none.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(hidden=True, help="Former name of --figure.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder that the videos' paths start from, for --figure. Default: none.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Queries in the figure. Default: 6.")] = None,
    classes: o.ClassesOption = None,
    group_by: o.GroupsOption = None,
    per_query: Annotated[
        Path | None,
        typer.Option(
            help="CSV to write: each query's nearest video, and rank of the first correct one. Default: none."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Seed of the choice of queries in the figure.")] = 0,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Search for similar videos, and measure how often the class agrees.

    R@k is the share of queries with a video of their class among the k nearest.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import UsageError

    if figure is not None and picture is not None:
        raise UsageError("--picture is the former name of --figure. Give --figure alone")
    figure = figure or picture
    if figure is None and (root is not None or rows is not None):
        raise UsageError("--root and --rows are options of the figure. Add --figure retrieval.png")
    if figure is not None and root is None:
        raise UsageError(f"--figure '{figure}' needs the folder of the videos. Add --root videos")
    from vtdl_cli.engine.features.retrieve import FigureRequest, retrieve

    request = FigureRequest(figure, root, rows or 6, seed) if figure is not None and root is not None else None
    result = retrieve(
        gallery,
        query,
        make_reporter(quiet),
        classes=classes,
        group_by=group_by,
        figure=request,
        per_query=per_query,
        overwrite=overwrite,
    )
    print_result(result, as_json, "retrieved")
