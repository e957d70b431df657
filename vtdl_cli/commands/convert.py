"""`vtdl convert`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl convert ckpt_epoch_48.pth --preset hmdb51/i3d --out authors.pt

vtdl convert runs/mine --out backbone.pt
"""

LISTS = ("missing", "unexpected", "misshaped", "classifier", "heads_left_out")
SHOWN_NAMES = 6  # of each list, in a table for people


def convert(
    weights: Annotated[
        str,
        typer.Argument(help="Weights of the authors' code, of torchvision, or tensors by name; or a run."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="File to write: a checkpoint; of a run the bare backbone, as ONNX where it ends in .onnx."),
    ],
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME|FILE", help="Which network the weights are of, but for a run."),
    ] = None,
    assignments: o.SetOption = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Replace the beginning of names; may be repeated."),
    ] = None,
    key_encoder: Annotated[
        bool,
        typer.Option(
            "--key-encoder",
            help="Take the momentum encoder, not the trained one: of the authors' files, or of a run pretrained by "
            "vtdl, as a checkpoint for finetune --weights.",
        ),
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(help="classes.txt with the names of their classifier's classes. Default: their numbers."),
    ] = None,
    min_match: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Percent of the backbone's tensors that have to be in both networks. Default: 95."
        ),
    ] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Bring weights in from other code, or take a backbone out; the other way round is told by the file.

    A classifier that fits comes along: then the checkpoint is a finetuned network's, and can be evaluated.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.settings import load_config

    config = load_config(preset, assignments or (), make_reporter(quiet).warn) if preset else None
    from vtdl_cli.engine.weights.comparison import count_names
    from vtdl_cli.engine.weights.convert import convert
    from vtdl_cli.engine.weights.import_weights import Import

    wanted = Import(
        config=config, assignments=assignments or (), rename=rename or (), min_match=min_match, classes=classes
    )
    result = convert(weights, out, wanted, make_reporter(quiet), key_encoder=key_encoder, overwrite=overwrite)
    if as_json:
        print_result(result, as_json, "converted")
    else:
        named = {name: count_names(result[name], shown=SHOWN_NAMES) for name in LISTS if name in result}
        print_result({**result, **named}, as_json, "converted")
    if fresh := result.get("missing", []) + result.get("misshaped", []):
        which = "tensors of the backbone that were not there, or in another shape, start anew"
        make_reporter(quiet).warn(f"{which}: {count_names(fresh)}")
    if not as_json and "stage" in result:
        for line in _next_steps(result, preset, assignments):
            make_reporter(quiet).line(f"next: {line}")


def _next_steps(result: dict[str, Any], preset: str | None, assignments: list[str] | None) -> Iterator[str]:
    """What can be done with the checkpoint."""
    weights = f"--weights {shlex.quote(result['out'])}"
    if result["stage"] == "finetune":
        yield f"vtdl evaluate {weights} --list ... --out ..."
    typed = o.retype(preset, assignments) if preset else "--preset ..."
    yield f"vtdl finetune {typed} {weights} --train-list ... --val-list ... --out ..."
