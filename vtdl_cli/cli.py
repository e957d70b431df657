"""The command line: all commands, and the one place where errors become lines and exit codes."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from vtdl_cli import __version__, ranks, workers
from vtdl_cli.commands import (
    ablate,
    bench,
    convert,
    demo,
    doctor,
    evaluate,
    extract,
    features,
    finetune,
    fuse,
    lists,
    plot,
    predict,
    prepare_lists,
    presets,
    pretrain,
    probe,
    report,
    retrieve,
    transcode,
    visualize,
)
from vtdl_cli.commands.completion import use_own_scripts
from vtdl_cli.commands.unknown_options import WORDS, describe_unknown_option
from vtdl_cli.errors import PartFailed, UsageError, VtdlError

ORDER: list[str] = []
"""The names of all commands as the help shows them, which by itself shows groups last."""


class ErrorBoundary(TyperGroup):
    """The group of all commands: turns their exceptions into error lines and exit codes (see errors.py)."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # typer's signature
        """Return the names in the order of the help."""
        return ORDER

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note `--debug` and all words, for errors in parsing the options of a command."""
        ctx.meta["debug"] = "--debug" in args
        ctx.meta[WORDS] = list(args)
        with reporting_errors(ctx.meta["debug"]):
            _check_encoding(args)
            _hide_types_of_flags(self, ctx)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with reporting_errors(ctx.meta["debug"], _command_path(self, ctx.meta[WORDS])):
            result = super().invoke(ctx)
            ranks.destroy_process_group()
            sys.stdout.flush()  # here a full disk is one line
            return result


def _command_path(command: Any, words: Sequence[str]) -> str:
    """Return the command that the words begin with: `vtdl lists check`."""
    path = ["vtdl"]
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        path.append(word)
    return " ".join(path)


def _hide_types_of_flags(command: Any, ctx: Any) -> None:
    """Leave `<bool>` out of the help: a flag takes no value."""
    for parameter in command.get_params(ctx):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for inner in getattr(command, "commands", {}).values():
        _hide_types_of_flags(inner, ctx)


def _check_encoding(words: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8: lists, results and checkpoints could not store such file names."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"argument '{word}' is not UTF-8. Rename the file or folder") from None


@contextmanager
def reporting_errors(debug: bool, command: str = "vtdl") -> Iterator[None]:
    """Turn an exception of a command into error lines and an exit code; with `debug`, print its traceback first."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, (typer.Exit, typer.Abort, BrokenPipeError)):  # Typer ends a closed pipe quietly
            raise
        with _ignoring_ctrl_c():
            code = _print_failure(error, debug, command)
            _drop_unprinted()
        sys.exit(code)


def _print_failure(error: BaseException, debug: bool, command: str) -> int:
    """Print what failed, and return the exit code."""
    from vtdl_cli.commands.screen import print_line  # not at the top: Rich is slow to import

    if debug:
        for line in traceback.format_exc().splitlines():
            print_line(line)
    lines, code = describe(error, command)
    for line in lines:
        print_line(f"error: {line}")
    return code


def _drop_unprinted() -> None:
    """Drop what stdout, on a full disk, does not take: Python would try again at the end, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """A second Ctrl-C while the message of the first is printed would suppress that message."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def describe(error: BaseException, command: str = "vtdl") -> tuple[Sequence[str], int]:
    """Return the error lines for an exception of a command, and the exit code."""
    if isinstance(error, PartFailed) and error.__cause__ is not None:
        lines, code = describe(error.__cause__)
        return [f"{error.part}: {line}" for line in lines], code
    if isinstance(error, VtdlError):
        return error.lines, error.exit_code
    line, code = _describe_other(error, command)
    return [line] if line else [], code


def _describe_other(error: BaseException, command: str) -> tuple[str, int]:
    if isinstance(error, TyperException):
        message = error.format_message().rstrip(".")  # empty if a group without a command printed its help
        if not message:
            return "", error.exit_code
        if remedy := describe_unknown_option(error):
            return remedy, error.exit_code
        context = getattr(error, "ctx", None)  # of the command whose options are wrong; Typer's parser gives none
        command = context.command_path if context else command
        return f"{message}{'' if message.endswith('?') else '.'} See: {command} --help", error.exit_code
    if _is_interrupted(error):
        return "interrupted without saving", 1
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open. Allow more (ulimit -n 4096), or use fewer --workers", 1
    if _is_out_of_memory(error):
        reason = " ".join(str(error).split()) or "allocation failed"
        return f"the memory is full ({reason}). {LESS_MEMORY}", 1
    if isinstance(error, OSError) and error.strerror:
        what = f"file '{error.filename}'" if error.filename else "stdout or a file"
        return f"{what} cannot be used: {error.strerror.lower()}", 1
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which is not imported just for its name
        return f"the GPU's memory is full. Lower the batch ({BATCH_SETTINGS})", 1
    if ranks.is_lost_rank(error):
        return f"another of {ranks.world_size()} processes has ended: its own message says why. Resume with --resume", 1
    if message := workers.describe_dead_worker(error):
        return message, 1
    reason = " ".join(str(error).split())
    name = type(error).__name__
    return f"unexpected {name} '{reason}'. This is a bug in vtdl: please report it with the output of --debug", 1


def _is_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C was pressed; in the middle of taking one of Python's locks it leads to a RuntimeError in turn."""
    while isinstance(error, RuntimeError) and error.__context__ is not None:
        error = error.__context__
    return isinstance(error, KeyboardInterrupt)


BATCH_SETTINGS = "--set pretrain.batch_size=8, or finetune.batch_size, evaluate.batch_clips, extract.batch_clips"
LESS_MEMORY = (
    f"Lower the batch ({BATCH_SETTINGS}), --workers, the memory for videos (pretrain.cache_gb, finetune.cache_gb), or "
    "the size of the network: model.width, method.queue.size"
)


def _is_out_of_memory(error: BaseException) -> bool:
    """Recognise the errors of Python, NumPy, the system, and torch, whose CPU error is known by its text only."""
    words = ("not enough memory", "can't allocate memory", "Storage size calculation overflowed")
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(each in str(error) for each in words))
    )


use_own_scripts()
app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal after saving what there was: resume "
    "with --resume.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vtdl {__version__}")
        raise typer.Exit


IN_PARALLEL = ("pretrain", "finetune", "evaluate", "extract", "predict")
"""Commands that can run in several processes."""


@app.callback()
def vtdl(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # handled by the callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn to recognise human actions from video without labels."""
    if ranks.world_size() > 1 and context.invoked_subcommand not in IN_PARALLEL:
        raise UsageError(
            f"command '{context.invoked_subcommand}' runs in one process, but torchrun started {ranks.world_size()}. "
            f"Start it without torchrun, which is for {', '.join(IN_PARALLEL)}"
        )


def _add(panel: str, name: str, command: typer.Typer | Callable[..., None], epilog: str | None = None) -> None:
    """Add a command or a group of commands to a panel of the help, which shows both as they are added."""
    ORDER.append(name)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name, rich_help_panel=panel)
    else:
        app.command(name, epilog=epilog, rich_help_panel=panel)(command)


_add("Start", "demo", demo.demo, demo.EPILOG)
_add("Start", "presets", presets.presets)
_add("Data", "prepare-lists", prepare_lists.prepare_lists)
_add("Data", "lists", lists.lists)
_add("Data", "compress", transcode.compress, transcode.COMPRESS_EPILOG)
_add("Data", "extract-frames", transcode.extract_frames, transcode.FRAMES_EPILOG)
_add("Training", "pretrain", pretrain.pretrain, pretrain.EPILOG)
_add("Training", "finetune", finetune.finetune, finetune.EPILOG)
_add("Training", "ablate", ablate.ablate, ablate.EPILOG)
_add("Evaluation", "evaluate", evaluate.evaluate, evaluate.EPILOG)
_add("Evaluation", "extract", extract.extract, extract.EPILOG)
_add("Evaluation", "probe", probe.probe, probe.EPILOG)
_add("Evaluation", "retrieve", retrieve.retrieve, retrieve.EPILOG)
_add("Evaluation", "fuse", fuse.fuse, fuse.EPILOG)
_add("Evaluation", "features", features.features)
_add("Inspection", "predict", predict.predict, predict.EPILOG)
_add("Inspection", "visualize", visualize.visualize)
_add("Inspection", "plot", plot.plot)
_add("Inspection", "report", report.report, report.EPILOG)
_add("Weights", "convert", convert.convert, convert.EPILOG)
_add("Machine", "doctor", doctor.doctor, doctor.EPILOG)
_add("Machine", "bench", bench.bench)
