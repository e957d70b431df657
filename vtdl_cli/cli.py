"""The command line: which commands there are, and the one place where errors become lines and exit codes."""

import errno
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from vtdl_cli import __version__, ranks, workers
from vtdl_cli.commands import (
    bench,
    convert,
    demo,
    evaluate,
    extract,
    features,
    finetune,
    fuse,
    lists,
    plot,
    prepare_lists,
    presets,
    pretrain,
    probe,
    report,
    retrieve,
    transcode,
    visualize,
)
from vtdl_cli.errors import UsageError, VtdlError


class ErrorBoundary(TyperGroup):
    """Turns every failure of a command into one line on stderr for each mistake, and an exit code (see errors.py)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember whether tracebacks are wanted: the commands have yet to parse their own options."""
        ctx.meta["debug"] = "--debug" in args
        with reporting_errors(ctx.meta["debug"]):
            _check_encoding(args)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with reporting_errors(ctx.meta["debug"]):
            result = super().invoke(ctx)
            ranks.leave()
            return result


def _check_encoding(words: Sequence[str]) -> None:
    """Lists, results and checkpoints name files in UTF-8; of other bytes Python makes halves of characters."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"argument '{word}' is not UTF-8. Rename the file or folder") from None


@contextmanager
def reporting_errors(debug: bool) -> Iterator[None]:
    """Turn an exception into error lines and an exit code; with `debug`, below its traceback."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, (typer.Exit, typer.Abort, BrokenPipeError)):  # Typer ends a closed pipe quietly
            raise
        with _ignoring_ctrl_c():
            code = _tell(error, debug)
        sys.exit(code)


def _tell(error: BaseException, debug: bool) -> int:
    """Say what failed; returns the exit code."""
    from vtdl_cli.commands.screen import say  # not at the top: Rich is slow to import

    if debug:
        for line in traceback.format_exc().splitlines():
            say(line)
    lines, code = describe(error)
    for line in lines:
        say(f"error: {line}")
    return code


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Another one, while it is told what the first has done, would silence that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def describe(error: BaseException) -> tuple[Sequence[str], int]:
    """What is said about a failure, a line for each mistake, and its exit code."""
    if isinstance(error, VtdlError):
        return error.lines, error.exit_code
    line, code = _describe_other(error)
    return [line] if line else [], code


def _describe_other(error: BaseException) -> tuple[str, int]:
    if isinstance(error, TyperException):
        message = error.format_message().rstrip(".")  # empty where a group was called without a command: help was shown
        if not message:
            return "", error.exit_code
        return f"{message}{'' if message.endswith('?') else '.'} See: vtdl --help", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted without saving", 1
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open. Allow more (ulimit -n 4096), or use fewer --workers", 1
    if _is_out_of_memory(error):
        reason = " ".join(str(error).split()) or "no more could be had"
        return f"the memory is full ({reason}). {LESS_MEMORY}", 1
    if isinstance(error, OSError) and error.strerror:
        what = f"file '{error.filename}'" if error.filename else "a file"
        return f"{what} cannot be used: {error.strerror.lower()}", 1
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch is not imported for the sake of its name
        return "the GPU's memory is full. Lower the batch: --set pretrain.batch_size=... or finetune.batch_size=...", 1
    if ranks.tells_of_loss(error):
        return f"another of {ranks.count()} processes has ended: its own message says why. Start anew, with --resume", 1
    if told := workers.describe_loss(error):
        return told, 1
    reason = " ".join(str(error).split())
    name = type(error).__name__
    return f"unexpected {name} '{reason}'. This is a mistake of vtdl: please report what --debug prints", 1


LESS_MEMORY = (
    "Lower the batch (--set pretrain.batch_size=..., finetune.batch_size, evaluate.batch_clips, extract.batch_clips), "
    "--workers, or what makes networks large: model.width, method.queue.size"
)


def _is_out_of_memory(error: BaseException) -> bool:
    """Tell Python's and NumPy's, the system's, and torch's, which on a CPU is told by its words alone."""
    words = ("not enough memory", "can't allocate memory", "Storage size calculation overflowed")
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(each in str(error) for each in words))
    )


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 75 stopped by a signal after saving: go on with --resume.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vtdl {__version__}")
        raise typer.Exit


IN_PARALLEL = ("pretrain", "finetune", "evaluate", "extract")
"""Commands that several processes may share."""


@app.callback()
def vtdl(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # acts by itself
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn to recognise human actions from video without labels."""
    if ranks.count() > 1 and context.invoked_subcommand not in IN_PARALLEL:
        raise UsageError(
            f"command '{context.invoked_subcommand}' is the work of one process, and torchrun started {ranks.count()}. "
            f"Start it without; with torchrun go {', '.join(IN_PARALLEL)}"
        )


app.command(epilog=demo.EPILOG)(demo.demo)
app.add_typer(prepare_lists.prepare_lists, name="prepare-lists")
app.add_typer(lists.lists, name="lists")
app.command("extract-frames", epilog=transcode.FRAMES_EPILOG)(transcode.extract_frames)
app.command(epilog=transcode.COMPRESS_EPILOG)(transcode.compress)
app.command(epilog=pretrain.EPILOG)(pretrain.pretrain)
app.command(epilog=finetune.EPILOG)(finetune.finetune)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(epilog=extract.EPILOG)(extract.extract)
app.add_typer(features.features, name="features")
app.command(epilog=probe.EPILOG)(probe.probe)
app.command(epilog=fuse.EPILOG)(fuse.fuse)
app.command(epilog=retrieve.EPILOG)(retrieve.retrieve)
app.add_typer(plot.plot, name="plot")
app.command(epilog=report.EPILOG)(report.report)
app.add_typer(visualize.visualize, name="visualize")
app.command(epilog=convert.EPILOG)(convert.convert)
app.add_typer(bench.bench, name="bench")
app.add_typer(presets.presets, name="presets")
