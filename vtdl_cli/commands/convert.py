"""`vtdl convert`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl convert ckpt_epoch_48.pth --preset hmdb51/i3d --out authors.pt

vtdl convert runs/mine --out backbone.pt
"""


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
        bool, typer.Option("--key-encoder", help="Take the authors' momentum encoder, not the trained one.")
    ] = False,
    min_match: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of tensors, but for heads, that have to be in both networks.")
    ] = 95.0,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Bring weights in from other code, or take a backbone out; the other way round is told by the file."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.config import load_config

    config = load_config(preset, assignments or ()) if preset else None
    from vtdl_cli.engine.convert import convert

    result = convert(
        weights,
        out,
        config,
        rename=rename or (),
        key_encoder=key_encoder,
        min_match=min_match,
        overwrite=overwrite,
    )
    show(result, as_json, "converted")
    if result.get("missing"):
        speaker(quiet).warn(f"{len(result['missing'])} tensors of the backbone were not there: they start anew")
    if not as_json and "matched" in result:
        typer.echo(f"next: vtdl finetune --preset {preset} --weights {out} ...", err=True)
