"""`vtdl probe`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl probe --train train.h5 --test val.h5

vtdl probe --train train.h5 --test val.h5 --per-class 1,5 --repeats 10 --json
"""


def probe(
    train: Annotated[Path, typer.Option(help="Features to train on: HDF5 of vtdl extract.")],
    test: Annotated[Path, typer.Option(help="Features to test on, of other videos by the same network.")],
    per_class: Annotated[
        str, typer.Option(metavar="N,M,...", help="Few-shot: also train on N random videos of each class.")
    ] = "",
    repeats: Annotated[int, typer.Option(min=1, help="Random draws for each number of --per-class.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Seed of the draws.")] = 0,
    group_by: o.GroupsOption = None,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Measure features by nearest neighbours and a linear classifier.

    kNN with k = 1, 5 and 20, logistic regression, and the features' effective rank.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import UsageError

    numbers = [text for text in per_class.split(",") if text]
    if not all(text.isdecimal() and int(text) for text in numbers):
        raise UsageError(f"--per-class '{per_class}' is not a list of numbers from 1. Example: --per-class 1,5,10")
    from vtdl_cli.engine.features.probe import probe

    shots = [int(text) for text in numbers]
    result = probe(train, test, make_reporter(quiet), per_class=shots, repeats=repeats, seed=seed, group_by=group_by)
    print_result(result, as_json, "features measured")
