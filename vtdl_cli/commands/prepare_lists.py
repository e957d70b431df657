"""`vtdl prepare-lists folder`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

prepare_lists = typer.Typer(no_args_is_help=True, help="Turn the videos on your disk into lists that can be trusted.")

EPILOG = """Examples:

vtdl prepare-lists folder --root videos --out lists

vtdl prepare-lists folder --root videos --out lists --group-by '^([^_]+)_' --val-groups anna,bert
"""


@prepare_lists.command(epilog=EPILOG)
def folder(
    root: Annotated[
        Path, typer.Option(help="Folder with a sub-folder of videos, or of folders of frames, for each class.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write lists, classes.txt and audit.json into.")],
    val_fraction: Annotated[float, typer.Option(help="Share of each class's videos for validation, 0 to 1.")] = 0.25,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Keep videos together whose file names agree in the regex's first group."),
    ] = None,
    val_groups: Annotated[
        str, typer.Option(metavar="A,B,...", help="The groups to validate on, instead of drawing them.")
    ] = "",
    per_class: Annotated[
        int | None,
        typer.Option(min=1, help="Videos of each class that the training list keeps, drawn. Default: all."),
    ] = None,
    decoder: Annotated[str, typer.Option(metavar="decord|pyav|torchcodec", help="What opens the videos.")] = "decord",
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write lists of the videos in class folders, split into training and validation."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.engine.prepare_lists import prepare_folder

    audit = prepare_folder(
        root=root,
        out=out,
        val_fraction=val_fraction,
        seed=seed,
        group_by=group_by,
        val_groups=[group for group in val_groups.split(",") if group],
        per_class=per_class,
        decoder=decoder,
        workers=workers,
        overwrite=overwrite,
        reporter=speaker(quiet),
    )
    show(audit, as_json, f"lists: {out}")
