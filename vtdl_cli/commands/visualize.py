"""`vtdl visualize [video]|triplet`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.default_command import FirstIsDefault

visualize = typer.Typer(
    cls=FirstIsDefault,
    no_args_is_help=True,
    help="Show where a network looks in a video, or what pretraining sees (triplet).\n\n"
    "vtdl visualize --weights W VIDEO is short for vtdl visualize video.",
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
    out: Annotated[
        Path,
        typer.Option(
            help="MP4 to write, without sound, and beside it a strip of frames as PNG; or a PNG, the strip alone."
        ),
    ] = Path("heat.mp4"),
    kind: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="energy|similarity|gradcam",
            help="Norm of the features, cosine to their mean, or evidence for a class. Default: gradcam with a "
            "classifier, else energy.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Stage of the backbone, such as layer3. Default: the last.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|N", help="Class that gradcam explains. Default: the predicted one."),
    ] = None,
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="START END", help="Show this part alone, in seconds. Default: the whole video."),
    ] = None,
    assignments: o.SetOption = None,
    device: o.DeviceOption = "auto",
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Overlay a network's heat maps on a video, as MP4 and as a strip of frames.

    All frames share one scale: percentiles 1 to 99 of the video's heat. What the network does not see is dark.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result

    how = o.execution(0, device, 0, overwrite=overwrite)
    from vtdl_cli.engine.report.visualize import visualize

    result = visualize(
        weights,
        path,
        out,
        how,
        make_reporter(quiet),
        kind=kind,
        layer=layer,
        category=category,
        interval=interval,
        assignments=tuple(assignments or ()),
    )
    print_result(result, as_json, "drawn")


@visualize.command(
    epilog="""Examples:

vtdl visualize triplet --preset hmdb51/i3d --list lists/train_split_1.txt --root videos

vtdl visualize triplet --preset weizmann/r3d --list lists/train_split_1.txt --root videos --index 7 --out seven.png
"""
)
def triplet(
    preset: o.PresetOption,
    videos_list: Annotated[Path, typer.Option("--list", metavar="LIST|FOLDER|VIDEO", help="Videos.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("triplet.png"),
    index: Annotated[int, typer.Option(min=0, help="Position of the video in the list, from 0.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Seed of clips, augmentation and TCA.")] = 0,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Draw a video as pretraining sees it: anchor, positive, negative, and the anchor after TCA.

    Methods that take one clip of a video show only that one. Numbers in the figure are frame numbers.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result

    how = o.execution(seed, "cpu", 0, overwrite=overwrite)
    reporter = make_reporter(False)
    config = o.checked_config(preset, assignments, reporter)
    from vtdl_cli.engine.report.triplet import visualize_triplet

    source = o.list_source(videos_list, root, strip_prefix, list_columns)
    result = visualize_triplet(config, source, out, how, reporter, index=index)
    numbers = {name: ", ".join(map(str, frames)) for name, frames in result["frames"].items()}
    print_result(result if as_json else {**result, "frames": numbers}, as_json, "drawn")
