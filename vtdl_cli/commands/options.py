"""Options that several commands share, and how they become what the engine is asked."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vtdl_cli.engine.request import Execution, ListSource, Protocol

LISTS, RUNNING, SPEAKING = "Lists", "Running", "Speaking"

PresetOption = Annotated[
    str, typer.Option("--preset", metavar="NAME|FILE", help="A preset by name (see vtdl presets list) or a YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting of the preset; may be repeated."),
]
RootOption = Annotated[
    Path | None,
    typer.Option(help="Folder that the list's paths start from. Default: the list's own.", rich_help_panel=LISTS),
]
StripOption = Annotated[
    str, typer.Option(help="Leading folders to remove from the list's paths before --root.", rich_help_panel=LISTS)
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--list-columns",
        metavar="'path class frames'|'path frames class'|'path class'",
        help="Order of the list's columns, where it cannot be told from the list.",
        rich_help_panel=LISTS,
    ),
]
DecoderOption = Annotated[
    str,
    typer.Option(
        metavar="decord|pyav|torchcodec|flow", help="What opens the videos; flow: pictures in pairs, of x and of y."
    ),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(help="classes.txt with the classes' names. Default: those in the file, else the videos' folders."),
]
MOST_SEED = 2**32 - 1  # NumPy's
SeedOption = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_SEED, help="Of initial weights, order, clips and augmentation.", rich_help_panel=RUNNING
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="REGEX",
        help="Intervals go by recordings: videos whose file names agree in the regex's first group are cut from one. "
        "'' goes by video. Default: what prepare-lists made the list with.",
    ),
]
ClipsOption = Annotated[
    int | None, typer.Option(min=1, help="Clips, spread evenly over each video. Default: the preset's.")
]
CropsOption = Annotated[int, typer.Option(metavar="1|3", help="Centre square, or three along the long side.")]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.", rich_help_panel=RUNNING)]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes that decode videos; 0 decodes in this one. Default: one a core, at most 8.",
        rich_help_panel=RUNNING,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on from where an earlier run of this command stopped.", rich_help_panel=RUNNING),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace what an earlier run of this command wrote.", rich_help_panel=RUNNING),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything and print the plan; compute nothing.", rich_help_panel=RUNNING),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON on stdout; all else goes to stderr.", rich_help_panel=SPEAKING
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="No progress; warnings, errors and the result only.", rich_help_panel=SPEAKING)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=SPEAKING)]


def retype(preset: str, assignments: list[str] | None) -> str:
    """`--preset` and `--set` as the next command needs them, quoted for a shell."""
    return shlex.join(["--preset", preset, *(word for text in assignments or () for word in ("--set", text))])


def list_source(path: Path, root: Path | None, strip_prefix: str, columns: str | None) -> "ListSource":
    """One list with its options."""
    from vtdl_cli.engine.request import ListSource

    return ListSource(path, root, strip_prefix, columns)


def retype_list(source: "ListSource") -> list[str]:
    """The options that another list of the same folder needs."""
    given = {"--root": source.root, "--strip-prefix": source.strip_prefix, "--list-columns": source.columns}
    return [word for option, value in given.items() if value for word in (option, str(value))]


def protocol(clips: int | None, crops: int, aggregate: str = "softmax") -> "Protocol":
    """How videos are looked at.

    Raises:
        UsageError: an option has no such value.
    """
    from vtdl_cli.errors import UsageError

    if crops not in (1, 3):
        raise UsageError(f"--crops '{crops}' is neither 1 nor 3")
    if aggregate not in ("softmax", "logits"):
        raise UsageError(f"--aggregate '{aggregate}' is neither softmax nor logits")
    from vtdl_cli.engine.request import Protocol

    return Protocol(clips, crops, aggregate)


def execution(
    seed: int, device: str, workers: int | None, *, resume: bool = False, overwrite: bool = False, dry_run: bool = False
) -> "Execution":
    """How to run.

    Raises:
        UsageError: options that exclude each other.
    """
    from vtdl_cli.engine.request import Execution
    from vtdl_cli.errors import UsageError

    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other. Choose one")
    if device not in ("auto", "cpu", "cuda") and not device.startswith("cuda:"):
        raise UsageError(f"--device '{device}' is not auto, cpu or cuda")
    return Execution(seed, device, workers, resume, overwrite, dry_run)
