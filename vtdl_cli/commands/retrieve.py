"""`vtdl retrieve`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o

QUERIES_SHOWN, NEIGHBOURS_SHOWN = 5, 3  # on the screen

EPILOG = """Examples:

vtdl retrieve --gallery features.h5 --query features.h5 --per-query nearest.csv

vtdl retrieve --gallery train.h5 --query test.h5 --root videos --figure retrieval.png --rows 8
"""


def retrieve(
    gallery: Annotated[
        Path, typer.Option(help="Features to search in, of the training videos or of all: HDF5 of vtdl extract.")
    ],
    query: Annotated[
        Path,
        typer.Option(help="Features to search for, of the test videos, by the same network; or the gallery again."),
    ],
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
            help="CSV to write: each query's 5 nearest videos; with classes also theirs, and the rank of the first "
            "correct one. Default: none."
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
    Where the gallery is the query file itself, each query is left out of it.

    Without classes, the nearest videos take its place: on the screen those of
    the first queries, with --json or --per-query those of all.
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
    if not as_json and "neighbours" in result:
        print_neighbours(result["neighbours"], per_query)


def print_neighbours(neighbours: Sequence[Mapping[str, Any]], written: Path | None) -> None:
    """Print the nearest videos of the first queries as a table on stdout, and how to see those of the others."""
    from rich.console import Console
    from rich.table import Table

    from vtdl_cli.text import counted, printable

    table = Table("query", "nearest", "cosine", title="nearest videos", title_justify="left", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for each in neighbours[:QUERIES_SHOWN]:
        name = printable(each["query"])
        for rank, video in enumerate(each["nearest"][:NEIGHBOURS_SHOWN]):
            table.add_row("" if rank else name, printable(video["path"]), f"{video['cosine']:.3f}")
        table.add_section()
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table)
    where = str(written) if written else "--json, or --per-query nearest.csv"
    console.print(
        f"{min(QUERIES_SHOWN, len(neighbours))} of {counted(len(neighbours), 'query')}, {NEIGHBOURS_SHOWN} nearest of "
        f"each at most. All of them: {printable(where)}"
    )
