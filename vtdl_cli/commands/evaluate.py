"""`vtdl evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos --out results

vtdl evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos --clips 1 --out results-1 --json
"""


def evaluate(
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Finetuned run folder or checkpoint.")],
    test_list: Annotated[Path, typer.Option("--list", help="Labelled videos to test on.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, scores.h5, per_class.csv and confusion.png.")],
    clips: Annotated[
        int | None, typer.Option(min=1, help="Clips, spread evenly over each video. Default: the preset's.")
    ] = None,
    crops: Annotated[int, typer.Option(metavar="1|3", help="Centre square, or three along the long side.")] = 1,
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
    """Measure the accuracy of a finetuned network, by a protocol that is named."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.errors import UsageError

    if crops not in (1, 3):
        raise UsageError(f"--crops '{crops}' is neither 1 nor 3")
    how = o.execution(0, device, workers, overwrite=overwrite, dry_run=dry_run)
    from vtdl_cli.engine.evaluate import evaluate

    videos = o.list_source(test_list, root, strip_prefix, list_columns)
    result = evaluate(
        weights, videos, out, how, speaker(quiet), clips=clips, crops=crops, assignments=tuple(assignments or ())
    )
    show(result, as_json, "plan" if dry_run else f"evaluated: {out}")
