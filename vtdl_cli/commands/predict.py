"""`vtdl predict`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl predict --weights runs/finetuned videos --out predictions.csv

vtdl predict --weights runs/finetuned match.mp4 --timeline --hop 1 --out match.csv --out match.png --out labelled.mp4

A row has the path and the most probable classes; with --timeline also start
and end, in seconds of the video. A video that cannot be read is a row with an
error; the exit code is 1 only if none can be read.
"""


def predict(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="VIDEO|FOLDER|LIST...",
            help="Videos, folders that hold videos at any depth, and lists, in any mixture. Labels are not needed.",
        ),
    ],
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Finetuned run folder, checkpoint or hub folder.")],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="File to write, by its suffix; may be repeated. .jsonl, .csv: rows. .mp4: the video, labelled, "
            "without sound. .png: probabilities over time. Default: rows on the screen.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Most probable classes to list, at most.")] = 5,
    clips: o.ClipsOption = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Classify windows that slide over each video.")] = False,
    hop: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="With --timeline: from a window to the next. Default: windows adjoin one another. What is left at a "
            "video's end is shorter than a hop, and in no window.",
        ),
    ] = None,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    dry_run: o.DryRunOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Name the classes of videos, whole or over their time.

    Class names and probabilities, by a finetuned network.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import UsageError

    how = o.execution(0, device, workers, overwrite=overwrite, dry_run=dry_run)
    if hop is not None and not timeline:
        raise UsageError(f"--hop '{hop:g}' is of a timeline. Add --timeline")
    if hop is not None and not 0 < hop < float("inf"):
        raise UsageError(f"--hop '{hop:g}' is not a number of seconds above 0. Use one, such as --hop 0.5")
    if clips and timeline:
        raise UsageError(f"--clips '{clips}' has no effect on --timeline, whose windows slide. Leave out one")
    from vtdl_cli.engine.evaluate.predict import check_some_read, predict
    from vtdl_cli.engine.evaluate.predictor import PredictionSpec

    result = predict(
        weights,
        [o.list_source(path, root, strip_prefix, list_columns) for path in videos],
        out or [],
        how,
        make_reporter(quiet),
        spec=PredictionSpec(top_k, clips, timeline, hop),
        assignments=assignments or (),
    )
    rows = result.get("predictions", [])
    if as_json or dry_run or not rows:
        shown = result if as_json else {**result, "out": ", ".join(result["out"]) or "the screen"}
        print_result(shown, as_json, "plan" if dry_run else "predicted")
    elif len(rows) == 1 and "error" not in rows[0]:
        _print_table(rows[0])
    else:
        for row in rows:
            _print_row(row)
    check_some_read(result)


def _print_table(row: Mapping[str, Any]) -> None:
    """Print the classes of one video, a line each."""
    from rich.console import Console
    from rich.table import Table

    from vtdl_cli.text import printable

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(printable(_title(row)), soft_wrap=True)
    table = Table(pad_edge=False)
    table.add_column("class", style="bold", overflow="fold")
    table.add_column("probability", justify="right")
    for each in row["top"]:
        table.add_row(printable(each["class"]), f"{each['probability']:.3f}")
    console.print(table)


def _print_row(row: Mapping[str, Any]) -> None:
    """Print a video or window on one line."""
    from vtdl_cli.text import printable

    classes = (f"{each['class']} {each['probability']:.3f}" for each in row.get("top", ()))
    said = f"cannot be read: {row['error']}" if "error" in row else "  ".join(classes)
    sys.stdout.write(f"{printable(f'{_title(row)}  {said}')}\n")


def _title(row: Mapping[str, Any]) -> str:
    if row.get("start") is not None:
        return f"{row['path']}  {row['start']:.2f}-{row['end']:.2f} s"
    frames = f"  frames {row['start_frame']}-{row['end_frame'] - 1}" if "start_frame" in row else ""
    return f"{row['path']}{frames}"
