"""`vtdl prepare-lists folder|ucf101|hmdb51|kinetics`."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o

if TYPE_CHECKING:
    from vtdl_cli.engine.lists.build_lists import PrepareOptions

prepare_lists = typer.Typer(
    no_args_is_help=True, help="Write lists of your videos: which to train on, validate on and test on."
)

SMALLEST_PRESET = "small/r3d"
DECODER_SETTINGS = {"torchcodec": ["data.decoder=torchcodec"], "flow": ["data.modality=flow"]}
"""What that preset, whose decoder is auto, needs for videos that only another `--decoder` may open."""

ListsOutOption = Annotated[Path, typer.Option("--out", help="Folder to write lists, classes.txt and audit.json to.")]
PerClassOption = Annotated[
    int | None, typer.Option(min=1, help="Videos of each class in the training list, drawn at random. Default: all.")
]
FractionOption = Annotated[
    float | None,
    typer.Option(help="Or the fraction of each class in the training list, drawn at random: above 0, at most 1."),
]
VerifyOption = Annotated[
    bool,
    typer.Option("--verify", help="Decode each video completely: finds damaged, truncated and single-colour videos."),
]
MinFramesOption = Annotated[int, typer.Option(min=1, help="Leave out videos with fewer frames.")]
DrawSeedOption = Annotated[int, typer.Option("--seed", min=0, max=o.MOST_SEED, help="Seed of the random draws.")]


@prepare_lists.command(
    epilog="""Examples:

vtdl prepare-lists folder --root videos --out lists --group-by '^([^_]+)_' --val-fraction 0.2 --test-groups anna,bert

vtdl prepare-lists folder --root archive --labels folder --group-from parent --out lists
"""
)
def folder(
    root: Annotated[
        Path,
        typer.Option(
            help="Folder of videos or frame folders, at any depth. Recognised are <class>/VIDEO, "
            "train/<class>/VIDEO beside val/ or test/, and videos without classes; the one found is reported."
        ),
    ],
    out: ListsOutOption,
    labels: Annotated[
        str,
        typer.Option(
            metavar="auto|folder|parent|none",
            help="The class of a video. folder: the first folder, as in <class>/<subject>/VIDEO; parent: the last, as "
            "in <part>/<class>/VIDEO; none: no classes; auto: folder, if at least half of the videos lie in one "
            "folder each and these are several.",
        ),
    ] = "auto",
    split_from: Annotated[
        str,
        typer.Option(
            metavar="auto|folder|draw",
            help="Which list a video is in. folder: by folders such as train, val and test; draw: at random; auto: "
            "folder, if there is a train folder and another.",
        ),
    ] = "auto",
    val_fraction: Annotated[
        float | None,
        typer.Option(
            help="Fraction of each class for validation, which chooses the epoch; 0 to 1. Default: 0.25; 0 if folders "
            "name the lists or there are no classes."
        ),
    ] = None,
    test_fraction: Annotated[
        float, typer.Option(help="Fraction of each class for the final test, never used in training; 0: no test list.")
    ] = 0.0,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Keep videos in one list whose file names agree in the first group of the regex."
        ),
    ] = None,
    group_from: Annotated[
        str,
        typer.Option(
            metavar="name|path|parent",
            help="What --group-by searches: the file name; the path below --root; the folder that holds the video, "
            "which is the group itself without --group-by.",
        ),
    ] = "name",
    val_groups: Annotated[
        str,
        typer.Option(
            metavar="A,B,...", help="Groups to validate on, instead of a random draw; quote commas: '\"a, b\",c'."
        ),
    ] = "",
    test_groups: Annotated[
        str, typer.Option(metavar="A,B,...", help="Groups to test on, instead of a random draw.")
    ] = "",
    per_class: PerClassOption = None,
    fraction: FractionOption = None,
    decoder: o.DecoderOption = "auto",
    verify: VerifyOption = False,
    min_frames: MinFramesOption = 1,
    seed: DrawSeedOption = 0,
    workers: o.WorkersOption = None,
    overwrite: o.OverwriteOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Write lists of the videos of a folder, with or without classes: training, validation and, on request, test."""
    from vtdl_cli.commands.screen import make_reporter
    from vtdl_cli.engine.lists.build_lists import PrepareOptions
    from vtdl_cli.engine.lists.prepare import prepare_folder
    from vtdl_cli.errors import UsageError

    if test_fraction and test_groups:
        raise UsageError(f"--test-fraction {test_fraction} draws groups and --test-groups names them. Choose one")
    options = PrepareOptions(
        out, make_reporter(quiet), per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite
    )
    audit = prepare_folder(
        root,
        options,
        labels=labels,
        split_from=split_from,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        group_by=group_by,
        group_from=group_from,
        val_groups=_split(val_groups, "--val-groups"),
        test_groups=_split(test_groups, "--test-groups"),
    )
    _show(audit, as_json, options, root, 1)


def _split(names: str, option: str) -> list[str]:
    """Split names at commas, as in a line of a CSV: a name in double quotes may hold a comma."""
    from vtdl_cli.errors import UsageError

    found = [name for name in next(csv.reader([names]), []) if name]
    if names and not found:
        raise UsageError(f"{option} '{names}' names no group. Give their names, separated by commas")
    return found


def _add_official(dataset: str, title: str, num_splits: int, splits_help: str, examples: tuple[str, str]) -> None:
    """Add the command for an official dataset; where there is a single split, `--split` is not shown."""

    @prepare_lists.command(
        dataset,
        help=f"Write the lists of {title}, for the videos on the disk.",
        epilog="\n\n".join(["Examples:", *(f"vtdl prepare-lists {dataset} {example}" for example in examples)]) + "\n",
    )
    def official(
        root: Annotated[Path, typer.Option(help="Folder of the videos or frame folders, at any depth.")],
        splits: Annotated[Path, typer.Option(help=splits_help)],
        out: ListsOutOption,
        split: Annotated[
            int, typer.Option(min=1, max=num_splits, hidden=num_splits == 1, help="Number of the official split.")
        ] = 1,
        per_class: PerClassOption = None,
        fraction: FractionOption = None,
        decoder: o.DecoderOption = "auto",
        verify: VerifyOption = False,
        min_frames: MinFramesOption = 1,
        seed: DrawSeedOption = 0,
        workers: o.WorkersOption = None,
        overwrite: o.OverwriteOption = False,
        as_json: o.JsonOption = False,
        quiet: o.QuietOption = False,
        debug: o.DebugOption = False,  # read by the error boundary
    ) -> None:
        from vtdl_cli.commands.screen import make_reporter
        from vtdl_cli.engine.lists.build_lists import PrepareOptions
        from vtdl_cli.engine.lists.prepare import prepare_official

        options = PrepareOptions(
            out, make_reporter(quiet), per_class, fraction, seed, decoder, verify, min_frames, workers, overwrite
        )
        _show(prepare_official(dataset, root, splits, options, split=split), as_json, options, root, split)


_add_official(
    "ucf101",
    "one of the three official splits of UCF101",
    3,
    "Folder with classInd.txt, trainlist01.txt and testlist01.txt.",
    (
        "--root UCF-101 --splits ucfTrainTestlist --out lists",
        "--root UCF-101 --splits ucfTrainTestlist --split 2 --out lists-2 --per-class 5",
    ),
)
_add_official(
    "hmdb51",
    "one of the three official splits of HMDB51",
    3,
    "Folder with <class>_test_split1.txt for each class.",
    (
        "--root hmdb51 --splits testTrainMulti_7030_splits --out lists",
        "--root hmdb51-frames --splits testTrainMulti_7030_splits --split 3 --out lists-3",
    ),
)
_add_official(
    "kinetics",
    "Kinetics-400, 600 or 700",
    1,
    "Folder with the annotations of training and validation, or one of these CSV files.",
    (
        "--root kinetics400 --splits annotations --out lists",
        "--root kinetics400/val --splits annotations/val.csv --out lists-val --decoder pyav",
    ),
)


def _show(audit: dict[str, Any], as_json: bool, options: "PrepareOptions", root: Path, split: int) -> None:
    from vtdl_cli.commands.audit_summary import summarise
    from vtdl_cli.commands.screen import print_result

    print_result(audit if as_json else summarise(audit), as_json, f"lists: {options.out}")
    if as_json:
        return
    from vtdl_cli.engine.lists.outputs import list_files

    lists = {side: options.out / name for side, name in list_files(split).items() if audit["splits"].get(side)}
    typed = o.retype(SMALLEST_PRESET, DECODER_SETTINGS.get(audit["options"]["decoder"]))
    for line in o.commands_for_lists(lists, root, typed, has_classes=bool(audit["classes"])):
        options.reporter.line(f"next: {line}")
