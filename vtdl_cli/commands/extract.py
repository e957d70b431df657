"""`vtdl extract`."""

from pathlib import Path
from typing import Annotated

import typer

from vtdl_cli.commands import options as o

EPILOG = """Examples:

vtdl extract --weights runs/pretrained --list lists/train_split_1.txt --root videos --out train.h5

vtdl extract --weights none --preset hmdb51/i3d --list lists/train_split_1.txt --root videos --out untrained.h5 --npy
"""


def extract(
    weights: Annotated[
        str,
        typer.Option(
            metavar="RUN|FILE|none", help="Run folder or checkpoint; none takes a network with fresh weights."
        ),
    ],
    videos_list: Annotated[Path, typer.Option("--list", help="Videos to describe.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    clips: Annotated[
        int | None, typer.Option(min=1, help="Clips, spread evenly over each video. Default: the preset's.")
    ] = None,
    per_clip: Annotated[bool, typer.Option("--per-clip", help="Keep each clip's features, not their mean.")] = False,
    npy: Annotated[
        bool, typer.Option("--npy", help="Also write the features as a .npy array beside the HDF5 file.")
    ] = False,
    preset: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="The network of --weights none.")] = None,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    dry_run: o.DryRunOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write a feature vector for every video, or every clip, to HDF5."""
    from vtdl_cli.commands.screen import show, speaker
    from vtdl_cli.config import load_config
    from vtdl_cli.errors import UsageError

    how = o.execution(seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run)
    fresh = weights == "none"
    if preset and not fresh:
        raise UsageError("--preset goes with --weights none: trained weights carry their own. Use --set to change it")
    config = load_config(preset, assignments or ()) if preset else None
    from vtdl_cli.engine.extract import extract

    result = extract(
        None if fresh else weights,
        o.list_source(videos_list, root, strip_prefix, list_columns),
        out,
        how,
        speaker(quiet),
        config=config,
        assignments=tuple(assignments or ()),
        clips=clips,
        per_clip=per_clip,
        npy=npy,
    )
    show(result, as_json, "plan" if dry_run else "extracted")
