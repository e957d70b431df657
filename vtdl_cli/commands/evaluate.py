"""`vtdl evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl evaluate --weights runs/finetuned --list lists/test_split_1.txt --root videos --out runs/finetuned/results

vtdl evaluate --weights runs/1 --weights runs/2 --list val_1.txt --list val_2.txt --root videos --out both --json
"""


def evaluate(
    weights: Annotated[
        list[str],
        typer.Option(
            metavar="RUN|FILE",
            help="Finetuned run folder, checkpoint or hub folder; may be repeated, one for each list.",
        ),
    ],
    test_lists: Annotated[
        list[Path],
        typer.Option(
            "--list",
            metavar="LIST",
            help="Labelled videos to test on; may be repeated, for mean and standard deviation.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, scores.h5, per_class.csv and confusion.png.")],
    clips: o.ClipsOption = None,
    crops: o.CropsOption = 1,
    aggregate: Annotated[
        str, typer.Option(metavar="softmax|logits", help="What to average over the clips and crops of a video.")
    ] = "softmax",
    group_by: o.GroupsOption = None,
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
    """Measure the accuracy of a finetuned network.

    By clips spread evenly over each video, whose scores are averaged.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result

    how = o.execution(0, device, workers, overwrite=overwrite, dry_run=dry_run)
    protocol = o.protocol(clips, crops, aggregate)
    from vtdl_cli.engine.evaluate.evaluate import evaluate

    lists = [o.list_source(path, root, strip_prefix, list_columns) for path in test_lists]
    result = evaluate(weights, lists, out, how, make_reporter(quiet), protocol, assignments or (), group_by)
    print_result(result, as_json, "plan" if dry_run else f"evaluated: {out}")
