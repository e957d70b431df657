"""`vtdl bench`: pretrain, evaluate, extract, decode."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from vtdl_cli.commands import options as o

bench = typer.Typer(no_args_is_help=True, help="Measure where the time goes; runs and results are left alone.")

FigureOption = Annotated[
    Path | None, typer.Option(help="PNG to write: the times as bars. Default: none.", rich_help_panel=o.OUTPUT)
]
RepeatsOption = Annotated[
    int, typer.Option(min=1, help="How often everything is timed, in turn; medians are reported.")
]
BenchList = Annotated[
    Path,
    typer.Option("--list", metavar="LIST|FOLDER|VIDEO", help="Videos to time it on; a few dozen are enough."),
]
COLUMNS = {
    "ms": "ms a step",
    "cpu_ms": "CPU ms",
    "share": "share",
    "seconds": "seconds",
    "cpu_seconds": "CPU seconds",
    "clips_per_second": "clips/s",
    "ms_per_clip": "ms a clip",
    "cpu_ms_per_clip": "CPU ms",
    "frames_per_second": "frames/s",
}
"""What a time of a result is in -> the head of its column."""


@bench.command(
    epilog="""Examples:

vtdl bench pretrain --preset weizmann/r3d --train-list lists/train_split_1.txt --root videos

vtdl bench pretrain --preset hmdb51/i3d --train-list videos --steps 50 --workers 16 --json --figure pretrain.png
"""
)
def pretrain(
    preset: o.PresetOption,
    train_list: Annotated[
        Path, typer.Option(metavar="LIST|FOLDER", help="Videos to pretrain on: a list, or a folder that holds them.")
    ],
    steps: Annotated[
        int,
        typer.Option(
            min=1, help="Steps of the loop to measure, after 8 to warm up; more, if that makes them whole epochs."
        ),
    ] = 20,
    repeats: RepeatsOption = 3,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    figure: FigureOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Time each part of a step of pretraining apart, and its loop as a whole, against what the device could do.

    The loop runs as in vtdl pretrain, in a temporary folder. ready batch: steps
    on a batch that stays on the device. end_to_end_share: how much of that speed
    the loop reaches. FLOP are those of convolutions and matrix products.
    """
    from vtdl_cli.commands.screen import make_reporter

    how = o.execution(seed, device, workers, overwrite=overwrite)
    reporter = make_reporter(quiet)
    config = o.checked_config(preset, assignments, reporter)
    from vtdl_cli.engine.bench.pretrain import bench_pretrain

    videos = o.list_source(train_list, root, strip_prefix, list_columns)
    _show(
        lambda: bench_pretrain(config, videos, how, reporter, steps=steps, repeats=repeats),
        "pretrain",
        "ms",
        figure,
        as_json,
        overwrite=overwrite,
    )


@bench.command(
    epilog="""Examples:

vtdl bench evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos

vtdl bench evaluate --weights runs/finetuned --list lists/val_split_1.txt --root videos --workers 4 --json
"""
)
def evaluate(
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Finetuned run folder or checkpoint.")],
    test_list: Annotated[Path, typer.Option("--list", help="Labelled videos; a few dozen are enough.")],
    clips: o.ClipsOption = None,
    crops: o.CropsOption = 1,
    repeats: RepeatsOption = 3,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    figure: FigureOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Time decoding alone, the network alone, and an evaluation, up to its scores, as a whole."""
    from vtdl_cli.commands.screen import make_reporter

    how, protocol = o.execution(0, device, workers, overwrite=overwrite), o.protocol(clips, crops)
    from vtdl_cli.engine.bench.evaluate import bench_evaluate

    videos, chosen = o.list_source(test_list, root, strip_prefix, list_columns), tuple(assignments or ())
    reporter = make_reporter(quiet)
    _show(
        lambda: bench_evaluate(weights, videos, how, reporter, protocol, chosen, repeats=repeats),
        "evaluate",
        "seconds",
        figure,
        as_json,
        overwrite=overwrite,
    )


@bench.command(
    epilog="""Examples:

vtdl bench extract --weights runs/pretrained --list lists/val_split_1.txt --root videos

vtdl bench extract --weights runs/pretrained --list videos --clips 10 --device cpu --json
"""
)
def extract(
    weights: Annotated[str, typer.Option(metavar="RUN|FILE", help="Run folder or checkpoint.")],
    videos_list: BenchList,
    layer: Annotated[
        str, typer.Option(metavar="last|embedding|STAGE", help="Where features are taken, as in vtdl extract.")
    ] = "last",
    clips: o.ClipsOption = None,
    repeats: RepeatsOption = 3,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    figure: FigureOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Time decoding alone, the network alone, and an extraction, up to its HDF5 file, as a whole."""
    from vtdl_cli.commands.screen import make_reporter

    how = o.execution(0, device, workers, overwrite=overwrite)
    from vtdl_cli.engine.bench.extract import bench_extract
    from vtdl_cli.engine.evaluate.extract import FeatureSpec

    videos, chosen = o.list_source(videos_list, root, strip_prefix, list_columns), tuple(assignments or ())
    spec, reporter = FeatureSpec(layer, clips), make_reporter(quiet)
    _show(
        lambda: bench_extract(weights, videos, how, reporter, spec, chosen, repeats=repeats),
        "extract",
        "seconds",
        figure,
        as_json,
        overwrite=overwrite,
    )


@bench.command(
    epilog="""Examples:

vtdl bench decode --list videos

vtdl bench decode --list lists/train_split_1.txt --root videos --clips 3 --videos 20 --json
"""
)
def decode(
    videos_list: BenchList,
    clips: Annotated[int, typer.Option(min=1, help="Clips read of a video at once, drawn at random; 3: triplets.")] = 1,
    frames: Annotated[int, typer.Option(min=1, help="Frames in a clip.")] = 16,
    stride: Annotated[int, typer.Option(min=1, help="Frames from one frame of a clip to the next.")] = 4,
    videos: Annotated[int, typer.Option(min=1, help="Videos of each kind of file, drawn at random.")] = 8,
    repeats: RepeatsOption = 3,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    seed: o.SeedOption = 0,
    figure: FigureOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Time every installed decoder on each kind of file in a list, beside plain loops that read the same frames.

    One process and one thread; frames are not resized. auto is the decoder of data.decoder=auto, PyAV.
    """
    from vtdl_cli.commands.screen import make_reporter
    from vtdl_cli.engine.bench.decode import ClipsToRead, bench_decode

    source, what = o.list_source(videos_list, root, strip_prefix, list_columns), ClipsToRead(clips, frames, stride)
    reporter = make_reporter(quiet)
    _show(
        lambda: bench_decode(source, reporter, what, videos=videos, seed=seed, repeats=repeats),
        "decode",
        "cpu_ms_per_clip",
        figure,
        as_json,
        overwrite=overwrite,
    )


def _show(
    measure: Callable[[], dict[str, Any]],
    name: str,
    drawn: str,
    figure: Path | None,
    as_json: bool,
    *,
    overwrite: bool,
) -> None:
    """Measure, print the result and its times, and draw those in one of COLUMNS."""
    from vtdl_cli.commands.screen import print_columns, print_result
    from vtdl_cli.runtime import check_new_file
    from vtdl_cli.text import brief_number

    if figure is not None:
        check_new_file(figure, "--figure", overwrite=overwrite, ending=".png")
    result = measure()
    print_result(result, as_json, f"bench {name}")
    times = result["times"]
    if not as_json:
        heads = {head: key for key, head in COLUMNS.items() if any(key in row for row in times.values())}
        print_columns(
            {
                head: {row: brief_number(cells[key]) if key in cells else "" for row, cells in times.items()}
                for head, key in heads.items()
            },
            f"bench {name}: times",
        )
    if figure is not None:
        from vtdl_cli.engine.bench.figure import write_figure

        write_figure({row: cells[drawn] for row, cells in times.items()}, COLUMNS[drawn], f"vtdl bench {name}", figure)
