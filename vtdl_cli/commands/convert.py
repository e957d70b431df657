"""`vtdl convert`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.engine.weights import TORCHVISION
from vtdl_cli.text import count_names

if TYPE_CHECKING:
    from vtdl_cli.engine.weights.torchvision_weights import Release

EPILOG = """Examples:

vtdl convert ckpt_epoch_48.pth --preset hmdb51/i3d --out authors.pt

vtdl convert runs/mine --out backbone.pt
"""

NAME_LISTS = ("missing", "unexpected", "misshaped", "classifier", "heads_left_out")
NAMES_IN_TABLE = 6  # of each list


def _find_release(weights: str) -> "Release | None":
    """Return the torchvision weights of that name; None for a file or a run, which do not need torchvision."""
    if not weights.startswith(TORCHVISION):
        return None
    from vtdl_cli.engine.weights.torchvision_weights import find_release

    return find_release(weights)


def _check_name(weights: str) -> str:
    """Refuse an unknown torchvision name before a missing --out is: `torchvision:` alone then lists the names."""
    _find_release(weights)
    return weights


def convert(
    weights: Annotated[
        str,
        typer.Argument(
            callback=_check_name,
            metavar="RUN|FILE|torchvision:NAME",
            help="Weights of the authors' code, or tensors by name; torchvision's, such as torchvision:r3d_18, "
            "downloaded where need be (torchvision: lists them); or a run.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="File to write: a checkpoint; of a run the bare backbone, as ONNX where it ends in .onnx."),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME|FILE",
            help="Which network the weights are of. Not for a run; default for torchvision: kinetics400's.",
        ),
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
        typer.Option(
            help="classes.txt with the names of their classifier's classes. Default: torchvision's own, else numbers."
        ),
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
    """Import weights from other code, or export a run's backbone; the file decides which.

    A classifier that fits comes along: then the checkpoint is a finetuned network's, and can be evaluated.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.settings import load_config

    release = _find_release(weights)
    if release and preset is None:
        preset, assignments = release.preset, [*release.settings, *(assignments or ())]
    config = load_config(preset, assignments or (), make_reporter(quiet).warn) if preset else None
    from vtdl_cli.engine.weights.convert import convert
    from vtdl_cli.engine.weights.import_weights import Import

    wanted = Import(
        config=config, assignments=assignments or (), rename=rename or (), min_match=min_match, classes=classes
    )
    result = convert(weights, out, wanted, make_reporter(quiet), key_encoder=key_encoder, overwrite=overwrite)
    if as_json:
        print_result(result, as_json, "converted")
    else:
        named = {name: count_names(result[name], shown=NAMES_IN_TABLE) for name in NAME_LISTS if name in result}
        print_result({**result, **named}, as_json, "converted")
    if fresh := result.get("missing", []) + result.get("misshaped", []):
        which = "tensors of the backbone that were missing, or of another shape, are randomly initialised"
        make_reporter(quiet).warn(f"{which}: {count_names(fresh)}")
    if not as_json and "stage" in result:
        for line in _next_steps(result, preset, assignments):
            make_reporter(quiet).line(f"next: {line}")


def _next_steps(result: dict[str, Any], preset: str | None, assignments: list[str] | None) -> Iterator[str]:
    """Yield the commands that use the checkpoint."""
    weights = f"--weights {shlex.quote(result['out'])}"
    if result["stage"] == "finetune":
        yield f"vtdl evaluate {weights} --list ... --root ... --out ..."
    typed = o.retype(preset, assignments) if preset else "--preset ..."
    yield f"vtdl finetune {typed} {weights} --train-list ... --val-list ... --root ... --out ..."
