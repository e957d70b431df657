"""`vtdl extract`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.commands.completion import complete_preset

FEATURES = "Features"

EPILOG = """Examples:

vtdl extract --weights runs/pretrained --list lists/train_split_1.txt --root videos --out train.h5

vtdl extract --weights runs/pretrained --list videos --hop 8 --out dense.h5 --format actionformer

The features have the shape (videos, D), or with

--per-clip   (videos, clips, D)
--per-frame  (videos, clips, times, D); a clip of 16 frames has 2 times in the
             last feature map, more in earlier stages
--hop        (windows, D); video i has those from offsets\\[i] up to
             offsets\\[i + 1]

With any of these, the file also has the times of each vector: starts and ends
in seconds, start_frames and end_frames (exclusive); and each video's fps.
"""


def extract(
    weights: Annotated[
        str,
        typer.Option(metavar="RUN|FILE|none", help="Run folder, checkpoint or hub folder; none: randomly initialised."),
    ],
    videos_list: Annotated[
        Path,
        typer.Option(
            "--list",
            metavar="LIST|FOLDER|VIDEO",
            help="Videos to extract from: a list, a folder that holds them at any depth, or one video.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    layer: Annotated[
        str,
        typer.Option(
            metavar="last|embedding|STAGE",
            help="last: the backbone's last feature map; embedding: the pretraining head; or a stage, such as layer3.",
            rich_help_panel=FEATURES,
        ),
    ] = "last",
    clips: Annotated[
        int | None,
        typer.Option(
            min=1, help="Clips, spread evenly over each video. Default: the preset's.", rich_help_panel=FEATURES
        ),
    ] = None,
    per_clip: Annotated[
        bool,
        typer.Option("--per-clip", help="Keep each clip's features, not their mean.", rich_help_panel=FEATURES),
    ] = False,
    per_frame: Annotated[
        bool,
        typer.Option(
            "--per-frame", help="Keep each time position of each clip, averaged over space.", rich_help_panel=FEATURES
        ),
    ] = False,
    hop: Annotated[
        str | None,
        typer.Option(
            metavar="FRAMES|SECONDS",
            help="Slide windows over each whole video, so far from one to the next: 8 frames, or 0.5s. Keep each "
            "window's features. What is left at a video's end is shorter than a hop, and in no window. A window has "
            "extract.clip_len_frames frames, extract.stride_frames apart. Videos are read one after another, each by "
            "as many threads as there are --workers.",
            rich_help_panel=FEATURES,
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="npy|npz|actionformer",
            help="Also export the features beside the HDF5 file; may be repeated. npy: their array; npz: all arrays of "
            "the file; actionformer: with --hop, a folder with an array for each video.",
            rich_help_panel=FEATURES,
        ),
    ] = None,
    npy: Annotated[bool, typer.Option("--npy", help="As --format npy.", rich_help_panel=FEATURES)] = False,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="The network of --weights none.", autocompletion=complete_preset),
    ] = None,
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
    """Write feature vectors of videos to HDF5.

    One for every video, clip, time position or sliding window.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import UsageError
    from vtdl_cli.settings import load_config

    random, chosen = weights == "none", tuple(assignments or ())
    if preset and not random:
        raise UsageError(
            f"--preset '{preset}' goes with --weights none: checkpoints have their own. Use --set to change it"
        )
    if per_clip and per_frame:
        raise UsageError("--per-clip and --per-frame exclude each other: --per-frame keeps clips, too. Choose one")
    how = o.execution(seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run)
    reporter = make_reporter(quiet)
    config = load_config(preset, chosen, reporter.warn) if preset else None
    from vtdl_cli.engine.evaluate.dense import parse_hop
    from vtdl_cli.engine.evaluate.extract import FeatureSpec, extract

    keep: Literal["clip", "time", "video"] = "clip" if per_clip else "time" if per_frame else "video"
    result = extract(
        None if random else weights,
        o.list_source(videos_list, root, strip_prefix, list_columns),
        out,
        how,
        reporter,
        config=config,
        assignments=chosen,
        spec=FeatureSpec(layer, clips, keep, None if hop is None else parse_hop(hop)),
        formats=list(dict.fromkeys([*(["npy"] if npy else []), *(formats or [])])),
    )
    print_result(result, as_json, "plan" if dry_run else "extracted")
