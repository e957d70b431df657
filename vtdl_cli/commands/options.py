"""Options that several commands share, and their translation into requests to the engine."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtdl_cli.commands.completion import complete_preset, complete_setting

if TYPE_CHECKING:
    from vtdl_cli.config import Config
    from vtdl_cli.engine.request import Execution, ListSource, Protocol
    from vtdl_cli.runtime import Reporter

LISTS, RUNNING, OUTPUT = "Lists", "Running", "Output"
EXAMPLE_LISTS = "--train-list lists/train_split_1.txt --val-list lists/val_split_1.txt"

PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME|FILE",
        help="A preset by name (see vtdl presets list) or a YAML file.",
        autocompletion=complete_preset,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change one setting of the preset; may be repeated.",
        autocompletion=complete_setting,
    ),
]
ListArgument = Annotated[Path, typer.Argument(metavar="LIST", help="A list of videos, in any order of columns.")]
VideosArgument = Annotated[
    Path,
    typer.Argument(metavar="LIST|FOLDER|VIDEO", help="A list, a folder that holds videos at any depth, or a video."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(help="Folder that the paths in the list are relative to. Default: the list's.", rich_help_panel=LISTS),
]
StripOption = Annotated[
    str, typer.Option(help="Leading folders to remove from the paths in the list before --root.", rich_help_panel=LISTS)
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--list-columns",
        metavar="'path class frames'|'path frames class'|'path class'|path",
        help="Order of the list's columns, if it cannot be detected.",
        rich_help_panel=LISTS,
    ),
]
DecoderOption = Annotated[
    str,
    typer.Option(
        metavar="auto|decord|pyav|torchcodec|flow",
        help="What has to read the videos, as in data.decoder: auto is PyAV; flow: folders of image pairs, x and y.",
    ),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(help="classes.txt with class names. Default: those in the file, else the folders of the videos."),
]
MOST_SEED = 2**32 - 1  # of NumPy
SeedOption = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_SEED, help="Seed of weight init, order, clips and augmentation.", rich_help_panel=RUNNING
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="REGEX",
        help="Intervals by recording: of videos whose file names agree in the first group of the regex; after path: or "
        "parent: it searches the path, or the folder that holds the video. "
        "'': by video. Default: as the list was prepared.",
    ),
]
ClipsOption = Annotated[
    int | None, typer.Option(min=1, help="Clips, spread evenly over each video. Default: as in the preset.")
]
CropsOption = Annotated[int, typer.Option(metavar="1|3", help="One centre crop, or three along the long side.")]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|mps",
        help="Device to compute on; cuda:1 is the second GPU. mps, Apple's GPU, has not been tried.",
        rich_help_panel=RUNNING,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes that decode videos; 0: none but this one. Default: one for each core, at most 8.",
        rich_help_panel=RUNNING,
    ),
]
JOBS = "Parts to compute at once, each in a process of its own with its share of the cores, GPUs and --workers."
"""The help of --jobs."""
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Resume an earlier run of this command that was stopped.", rich_help_panel=RUNNING),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace the outputs of an earlier run of this command.", rich_help_panel=RUNNING),
]
DeterministicOption = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="On a GPU, give the same weights again for the same seed, batches, GPU and versions, which is slower. "
        "A CPU always does. Default: the fastest kernels.",
        rich_help_panel=RUNNING,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything and print the plan, without computing.", rich_help_panel=RUNNING),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON on stdout; everything else goes to stderr.", rich_help_panel=OUTPUT
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", help="Print warnings, errors and the result only, no progress.", rich_help_panel=OUTPUT),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]


PRETRAINING_SECTIONS = ("pretrain", "method")  # of a configuration, which finetuning does not read


def retype(preset: str, assignments: list[str] | None) -> str:
    """Return `--preset` and `--set` for a command that finetunes or extracts, quoted for a shell."""
    kept = [text for text in assignments or () if text.split(".")[0].strip() not in PRETRAINING_SECTIONS]
    return shlex.join(["--preset", preset, *(word for text in kept for word in ("--set", text))])


def commands_for_lists(lists: Mapping[str, Path], root: Path, typed: str, *, has_classes: bool) -> Iterator[str]:
    """Yield the commands that use lists, one after the other.

    Args:
        lists: by part of the split: `train`, `val`, `test`.
        root: of their paths.
        typed: preset and settings, see `retype`.
        has_classes: whether their videos have labels.
    """
    if "train" not in lists:
        return
    named = {side: shlex.quote(str(path)) for side, path in lists.items()}
    rooted = f"--root {shlex.quote(str(root))}"
    yield f"vtdl pretrain {typed} --train-list {named['train']} {rooted} --out runs/pretrained"
    if has_classes:
        given = " ".join(f"--{side}-list {named[side]}" for side in ("train", "val") if side in named)
        yield f"vtdl finetune {typed} --weights runs/pretrained {given} {rooted} --out runs/finetuned"
    if has_classes and "test" in named:
        yield f"vtdl evaluate --weights runs/finetuned --list {named['test']} {rooted} --out runs/finetuned/results"


def checked_config(preset: str, assignments: list[str] | None, reporter: "Reporter") -> "Config":
    """Load a preset and its `--set` assignments, and check them before anything else is imported or built."""
    from vtdl_cli.settings import load_config

    config = load_config(preset, assignments or (), reporter.warn)
    from vtdl_cli.engine.networks.methods import check_config  # imports torch: mistakes in the settings are found first

    check_config(config, assignments or ())
    return config


def list_source(
    path: Path,
    root: Path | None,
    strip_prefix: str,
    columns: str | None,
    named_columns: Mapping[str, str | None] | None = None,
) -> "ListSource":
    """Combine a list with its options; `named_columns` maps what a column of a table holds to its name."""
    from vtdl_cli.engine.request import ListSource

    chosen = {content: name for content, name in (named_columns or {}).items() if name is not None}
    return ListSource(path, root, strip_prefix, columns, chosen)


def retype_lists(source: "ListSource", **lists: Path | None) -> str:
    """Return options that name lists, and those of a list in the same folder, quoted for a shell.

    Args:
        source: whose options apply.
        lists: by option, `train_list` for `--train-list`; those that are None are left out.
    """
    named = {f"--{name.replace('_', '-')}": path for name, path in lists.items()}
    options = {"--root": source.root, "--strip-prefix": source.strip_prefix, "--list-columns": source.columns}
    return shlex.join(word for option, value in {**named, **options}.items() if value for word in (option, str(value)))


def protocol(clips: int | None, crops: int, aggregate: str = "softmax") -> "Protocol":
    """Check and combine the options of the evaluation protocol.

    Raises:
        UsageError: a value is not allowed.
    """
    from vtdl_cli.errors import UsageError

    if crops not in (1, 3):
        raise UsageError(f"--crops '{crops}' is neither 1 nor 3")
    if aggregate not in ("softmax", "logits"):
        raise UsageError(f"--aggregate '{aggregate}' is neither softmax nor logits")
    from vtdl_cli.engine.request import Protocol

    return Protocol(clips, crops, aggregate)


def execution(
    seed: int,
    device: str,
    workers: int | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    deterministic: bool = False,
) -> "Execution":
    """Check and combine the options for running a command.

    Raises:
        UsageError: a value is not allowed, or options exclude each other.
    """
    from vtdl_cli.engine.request import Execution
    from vtdl_cli.errors import UsageError

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other. Choose one")
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?|mps", device):
        raise UsageError(f"--device '{device}' is not auto, cpu, cuda, cuda:NUMBER or mps")
    return Execution(seed, device, workers, resume, overwrite, dry_run, deterministic)
