"""`vtdl prepare-lists folder|ucf101|hmdb51|kinetics`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o

if TYPE_CHECKING:
    from vtdl_cli.engine.lists.prepare import Making

prepare_lists = typer.Typer(no_args_is_help=True, help="Turn the videos on your disk into lists that can be trusted.")

SHOWN_CLASSES = 20  # or groups, or sizes, as rows on the screen

OutOption = Annotated[Path, typer.Option(help="Folder to write lists, classes.txt and audit.json into.")]
SplitOption = Annotated[int, typer.Option(min=1, max=3, help="Which of the three official splits.")]
PerClassOption = Annotated[
    int | None, typer.Option(min=1, help="Videos of each class that the training list keeps, drawn. Default: all.")
]
FractionOption = Annotated[
    float | None, typer.Option(help="Or the share of each class that it keeps, drawn, from above 0 to 1.")
]
VerifyOption = Annotated[
    bool, typer.Option("--verify", help="Decode every video whole: finds damaged, cut short and one-coloured ones.")
]
MinFramesOption = Annotated[int, typer.Option(min=1, help="Leave out videos of fewer frames.")]
SeedOption = Annotated[int, typer.Option(min=0, max=o.MOST_SEED, help="Of the draw.")]
RootOption = Annotated[
    Path, typer.Option(help="Folder that the videos, or folders of frames, lie in, at whatever depth.")
]


@prepare_lists.command(
    epilog="""Examples:

vtdl prepare-lists folder --root videos --out lists

vtdl prepare-lists folder --root videos --out lists --group-by '^([^_]+)_' --val-fraction 0.2 --test-groups anna,bert
"""
)
def folder(
    root: Annotated[
        Path, typer.Option(help="Folder with a sub-folder of videos, or of folders of frames, for each class.")
    ],
    out: OutOption,
    val_fraction: Annotated[
        float, typer.Option(help="Share of each class's videos to validate on, which chooses the epoch; 0 to 1.")
    ] = 0.25,
    test_fraction: Annotated[
        float,
        typer.Option(help="Share to report accuracy on, which neither trains nor chooses; 0 writes no such list."),
    ] = 0.0,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Keep videos together whose file names agree in the regex's first group."),
    ] = None,
    val_groups: Annotated[
        str, typer.Option(metavar="A,B,...", help="The groups to validate on, instead of drawing them.")
    ] = "",
    test_groups: Annotated[
        str, typer.Option(metavar="A,B,...", help="The groups to report accuracy on, instead of drawing them.")
    ] = "",
    per_class: PerClassOption = None,
    fraction: FractionOption = None,
    decoder: o.DecoderOption = "decord",
    verify: VerifyOption = False,
    min_frames: MinFramesOption = 1,
    seed: SeedOption = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write lists of the videos in class folders, split into training, validation and, where asked for, test."""
    from vtdl_cli.engine.lists.prepare import prepare_folder
    from vtdl_cli.errors import UsageError

    if test_fraction and test_groups:
        raise UsageError(f"--test-fraction {test_fraction} draws groups and --test-groups names them. Choose one")
    making = _making(out, quiet, per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite)
    audit = prepare_folder(
        root,
        making,
        val_fraction=val_fraction,
        group_by=group_by,
        val_groups=[group for group in val_groups.split(",") if group],
        test_fraction=test_fraction,
        test_groups=[group for group in test_groups.split(",") if group],
    )
    _show(audit, as_json, making, root)


@prepare_lists.command(
    epilog="""Examples:

vtdl prepare-lists ucf101 --root UCF-101 --splits ucfTrainTestlist --out lists

vtdl prepare-lists ucf101 --root UCF-101 --splits ucfTrainTestlist --split 2 --out lists-2 --per-class 5
"""
)
def ucf101(
    root: RootOption,
    splits: Annotated[Path, typer.Option(help="Folder with classInd.txt, trainlist01.txt and testlist01.txt.")],
    out: OutOption,
    split: SplitOption = 1,
    per_class: PerClassOption = None,
    fraction: FractionOption = None,
    decoder: o.DecoderOption = "decord",
    verify: VerifyOption = False,
    min_frames: MinFramesOption = 1,
    seed: SeedOption = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write the lists of one of UCF101's official splits, for the videos that are there."""
    making = _making(out, quiet, per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite)
    _official("ucf101", root, splits, making, as_json, split)


@prepare_lists.command(
    epilog="""Examples:

vtdl prepare-lists hmdb51 --root hmdb51 --splits testTrainMulti_7030_splits --out lists

vtdl prepare-lists hmdb51 --root hmdb51-frames --splits testTrainMulti_7030_splits --split 3 --out lists-3
"""
)
def hmdb51(
    root: RootOption,
    splits: Annotated[Path, typer.Option(help="Folder with <class>_test_split1.txt of every class.")],
    out: OutOption,
    split: SplitOption = 1,
    per_class: PerClassOption = None,
    fraction: FractionOption = None,
    decoder: o.DecoderOption = "decord",
    verify: VerifyOption = False,
    min_frames: MinFramesOption = 1,
    seed: SeedOption = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write the lists of one of HMDB51's official splits, for the videos that are there."""
    making = _making(out, quiet, per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite)
    _official("hmdb51", root, splits, making, as_json, split)


@prepare_lists.command(
    epilog="""Examples:

vtdl prepare-lists kinetics --root kinetics400 --splits annotations --out lists

vtdl prepare-lists kinetics --root kinetics400/val --splits annotations/val.csv --out lists-val --decoder pyav
"""
)
def kinetics(
    root: RootOption,
    splits: Annotated[
        Path, typer.Option(help="Folder with the annotations of training and validation, or one of these CSV files.")
    ],
    out: OutOption,
    per_class: PerClassOption = None,
    fraction: FractionOption = None,
    decoder: o.DecoderOption = "decord",
    verify: VerifyOption = False,
    min_frames: MinFramesOption = 1,
    seed: SeedOption = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write the lists of Kinetics-400, 600 or 700, for the videos that are there."""
    making = _making(out, quiet, per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite)
    _official("kinetics", root, splits, making, as_json)


def _making(
    out: Path,
    quiet: bool,
    per_class: int | None,
    fraction: float | None,
    seed: int,
    decoder: str,
    verify: bool,
    min_frames: int,
    workers: int | None,
    overwrite: bool,
) -> "Making":
    from vtdl_cli.commands.screen import speaker
    from vtdl_cli.engine.lists.prepare import Making

    return Making(out, speaker(quiet), per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite)


def _official(dataset: str, root: Path, splits: Path, making: "Making", as_json: bool, split: int = 1) -> None:
    from vtdl_cli.engine.lists.official import prepare_official

    _show(prepare_official(dataset, root, splits, making, split=split), as_json, making, root, split)


def _show(audit: dict[str, Any], as_json: bool, making: "Making", root: Path, split: int = 1) -> None:
    from vtdl_cli.commands.screen import show

    result = audit if as_json else {name: _summary(value) for name, value in audit.items()}
    show(result, as_json, f"lists: {making.out}")
    if not as_json:
        for line in _next_steps(audit, making.out, root, split):
            making.reporter.line(f"next: {line}")


def _next_steps(audit: dict[str, Any], out: Path, root: Path, split: int) -> Iterator[str]:
    """What each list is for."""
    from vtdl_cli.engine.lists.prepare import list_files

    lists = {
        side: shlex.quote(str(out / name)) for side, name in list_files(split).items() if audit["splits"].get(side)
    }
    rooted = f"--root {shlex.quote(str(root))} --out ..."
    if "train" in lists:
        yield f"vtdl pretrain --preset ... --train-list {lists['train']} {rooted}"
    if {"train", "val"} <= lists.keys():
        both = f"--train-list {lists['train']} --val-list {lists['val']}"
        yield f"vtdl finetune --preset ... --weights ... {both} {rooted}"
    if "test" in lists:
        yield f"vtdl evaluate --weights ... --list {lists['test']} {rooted}"


def _summary(value: Any) -> Any:
    """A table by class as one line each, or as its smallest and largest counts where that is too long for a screen."""
    if not isinstance(value, dict) or not value:
        return value
    if not all(isinstance(row, dict) for row in value.values()):  # groups, sizes, codecs
        return value if len(value) <= SHOWN_CLASSES else f"{len(value)}, see audit.json"
    if len(value) <= SHOWN_CLASSES:
        return {name: ", ".join(f"{side} {count}" for side, count in row.items()) for name, row in value.items()}
    sides = next(iter(value.values()))
    counts = {side: [row[side] for row in value.values()] for side in sides}
    ranges = ", ".join(f"{side} {min(each)} to {max(each)}" for side, each in counts.items())
    return f"{len(value)} classes, {ranges} videos each; see audit.json"
