"""`vtdl plot runs|features|gradients`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.default_command import FirstIsDefault

plot = typer.Typer(
    cls=FirstIsDefault,
    no_args_is_help=True,
    help="Draw curves of runs, features and gradients.\n\nvtdl plot RUN is short for vtdl plot runs RUN.",
)


@plot.command(
    epilog="""Examples:

vtdl plot runs runs/pretrained

vtdl plot runs runs/seed0 runs/seed1 runs/seed2 --out seeds.png
"""
)
def runs(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of either stage.")],
    out: Annotated[
        Path | None,
        typer.Option(help="PNG to write. Default: RUN-curves.png; of several runs, curves.png beside the first."),
    ] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Draw loss, probabilities, accuracies and learning rate of one or several runs."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.report.plot import plot_runs

    print_result(plot_runs(folders, out, make_reporter(quiet=False), overwrite=overwrite), as_json, "drawn")


@plot.command(
    epilog="""Examples:

vtdl plot features val.h5

vtdl plot features val.h5 --method pca --classes lists/classes.txt --out val.png
"""
)
def features(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Features: HDF5 of vtdl extract.")],
    method: Annotated[str, typer.Option(metavar="tsne|pca", help="Projection to two dimensions.")] = "tsne",
    out: Annotated[Path | None, typer.Option(help="PNG to write. Default: FILE-METHOD.png beside the file.")] = None,
    max_videos: Annotated[int, typer.Option(min=4, help="Most videos to show; of more, a random choice.")] = 5000,
    classes: o.ClassesOption = None,
    seed: Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Seed of t-SNE and of the choice of videos.")] = 0,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Draw features in two dimensions, coloured by class; up to 40 videos without classes are named."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.report.plot import plot_features

    result = plot_features(
        file,
        out,
        make_reporter(quiet),
        method=method,
        seed=seed,
        max_videos=max_videos,
        classes=classes,
        overwrite=overwrite,
    )
    print_result(result, as_json, "drawn")


@plot.command(
    epilog="""Examples:

vtdl plot gradients runs/pretrained

vtdl plot gradients runs/finetuned --out gradients.png --overwrite
"""
)
def gradients(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, trained with --set STAGE.log_gradients=true.")
    ],
    out: Annotated[Path | None, typer.Option(help="PNG to write. Default: gradients.png in the run folder.")] = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Draw the size of each layer's gradients at the end of each epoch."""
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.engine.report.plot import plot_gradients

    print_result(plot_gradients(run, out, make_reporter(quiet=False), overwrite=overwrite), as_json, "drawn")
