"""`vtdl visualize [video]|triplet`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.default_command import FirstIsDefault

visualize = typer.Typer(
    cls=FirstIsDefault,
    no_args_is_help=True,
    help="Show where a network looks (vtdl visualize --weights W VIDEO), or what pretraining sees (triplet).",
)


@visualize.command(
    epilog="""Examples:

vtdl visualize video --weights runs/finetuned clip.mp4

vtdl visualize video --weights runs/pretrained clip.mp4 --map similarity --layer layer3 --out similarity.mp4
"""
)
def video(
    path: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file, or a folder of frames.")],
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Run folder or checkpoint of either stage.")],
    out: Annotated[Path, typer.Option(help="MP4 to write; beside it a strip of frames as PNG.")] = Path("heat.mp4"),
    kind: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="energy|similarity|gradcam",
            help="Norm of the features, cosine to their mean, or what speaks for a class. Default: gradcam of finetuned "
            "weights, energy of pretrained ones.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the backbone, such as layer3. Default: its last.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|N", help="Class that gradcam is of. Default: the predicted one."),
    ] = None,
    assignments: o.SetOption = None,
    device: o.DeviceOption = "auto",
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Lay a network's activation maps over a video, as MP4 and as a strip of frames.

    The scale is one for all frames: percentiles 1 to 99 of the video's heat. What the network does not see is dark.
    """
    from vtdl_cli.commands.screen import show, speaker

    how = o.execution(0, device, 0, overwrite=overwrite)
    from vtdl_cli.engine.visualize import visualize

    result = visualize(
        weights,
        path,
        out,
        how,
        speaker(quiet),
        kind=kind,
        layer=layer,
        category=category,
        assignments=tuple(assignments or ()),
    )
    show(result, as_json, "drawn")
