"""Help, version, and the boundary where errors become lines and exit codes."""

import errno
import inspect
import re
import shlex
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from tests.processes import ENVIRONMENT
from tests.toy import Toy, refuse, succeed, vtdl
from vtdl_cli import __version__
from vtdl_cli.cli import ErrorBoundary, app, describe
from vtdl_cli.errors import ConfigError, Interrupted, ListError, PartFailed

COMMANDS = [
    [],
    ["demo"],
    ["prepare-lists"],
    ["prepare-lists", "folder"],
    ["prepare-lists", "ucf101"],
    ["prepare-lists", "hmdb51"],
    ["prepare-lists", "kinetics"],
    ["lists"],
    ["lists", "check"],
    ["lists", "convert"],
    ["extract-frames"],
    ["compress"],
    ["pretrain"],
    ["finetune"],
    ["evaluate"],
    ["predict"],
    ["extract"],
    ["features"],
    ["features", "info"],
    ["features", "merge"],
    ["features", "export"],
    ["probe"],
    ["fuse"],
    ["retrieve"],
    ["plot"],
    ["plot", "runs"],
    ["plot", "features"],
    ["plot", "gradients"],
    ["report"],
    ["visualize"],
    ["visualize", "video"],
    ["visualize", "triplet"],
    ["convert"],
    ["ablate"],
    ["bench"],
    ["bench", "pretrain"],
    ["bench", "evaluate"],
    ["bench", "extract"],
    ["bench", "decode"],
    ["doctor"],
    ["presets"],
    ["presets", "list"],
    ["presets", "show"],
    ["presets", "copy"],
]
GROUPS: list[list[str]] = [
    [], ["prepare-lists"], ["lists"], ["features"], ["plot"], ["visualize"], ["bench"], ["presets"],
]  # fmt: skip
WITH_EXAMPLES = [command for command in COMMANDS if command not in GROUPS]

SHOW_EVERY_HELP = """
import sys
from vtdl_cli.__main__ import main
for line in sys.stdin:
    sys.argv = ["vtdl", *line.split(), "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code
    print(line.strip(), *sys.modules, file=sys.stderr)
"""
HEAVY = {"torch", "torchvision", "numpy", "h5py", "sklearn", "matplotlib", "av", "decord"}


def examples_of(command: list[str]) -> list[list[str]]:
    """The words of each example in a command's help; the window is wide, so that no line is folded."""
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "400"})
    lines = [line.strip() for line in result.stdout.split("Examples:")[1].splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("vtdl ")]


def test_help__imports_nothing_heavy() -> None:
    """What makes it quick: 0.3 s on an idle core, where torch alone takes seconds. One process shows them all."""
    lines = "".join(f"{' '.join(command)}\n" for command in COMMANDS)
    code = [sys.executable, "-c", SHOW_EVERY_HELP]
    result = subprocess.run(code, input=lines, capture_output=True, text=True, check=True)
    assert result.stdout.count("Usage: ") == len(COMMANDS)
    imported = [set(line.split()) for line in result.stderr.splitlines()]
    assert [command for command, names in zip(COMMANDS, imported, strict=True) if HEAVY & names] == []


IMPORTED_AT_THE_START = {
    "lists.prepare": {"numpy"},
    "features.retrieve": {"numpy", "h5py"},
    "features.probe": {"numpy", "h5py"},
    "train.pretrain": {"numpy", "h5py", "torch"},
    "train.finetune": {"numpy", "h5py", "torch"},
    "evaluate.evaluate": {"numpy", "h5py", "torch"},
    "evaluate.extract": {"numpy", "h5py", "torch"},
}
"""Of HEAVY, by module of the engine, lightest first; a module's needs include those of the modules before it."""


def test_engine__imports_at_the_start_only_what_every_run_uses() -> None:
    """Decoders, scikit-learn and matplotlib, half a second each, come where something is decoded, fitted or drawn."""
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n    print(*sys.modules)"
    )
    modules = [f"vtdl_cli.engine.{name}" for name in IMPORTED_AT_THE_START]
    result = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    imported = [HEAVY & set(line.split()) for line in result.stdout.splitlines()]
    assert dict(zip(IMPORTED_AT_THE_START, imported, strict=True)) == IMPORTED_AT_THE_START


@cache
def the_parser() -> Any:
    """Typer's own, which takes a moment to make."""
    return typer.main.get_command(app)


def parser_of(command: list[str]) -> Any:
    """Typer's own parser of a command."""
    parser = the_parser()
    for word in command:
        parser = parser.commands[word]
    return parser


@pytest.mark.parametrize("command", WITH_EXAMPLES, ids=" ".join)
def test_help__has_two_examples_that_parse(command: list[str]) -> None:
    examples = examples_of(command)
    assert len(examples) == 2
    written = [line for line in parser_of(command).epilog.splitlines() if line.startswith("vtdl ")]
    assert examples == [shlex.split(line)[1:] for line in written]  # square brackets could be taken for markup
    for example in examples:
        assert example[: len(command)] == command
        parser_of(command).make_context("vtdl", example[len(command) :])


@pytest.mark.parametrize("command", WITH_EXAMPLES, ids=" ".join)
def test_help__says_what_every_option_is_for(command: list[str]) -> None:
    assert [parameter.name for parameter in parser_of(command).params if not parameter.help] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help__has_no_markup_that_swallows_words(command: list[str]) -> None:
    """Typer takes [words] for markup, which it leaves out, and :m: for an emoji. Oracle: rich itself."""
    helps = [parameter.help for parameter in parser_of(command).params if getattr(parameter, "help", None)]
    helps += [text for text in (parser_of(command).help, parser_of(command).epilog) if text]
    escaped = [text.replace("\\[", "[") for text in helps]
    shown = [Text.from_markup(text).plain.rstrip() for text in helps]
    assert [text for text, seen in zip(escaped, shown, strict=True) if seen != text.rstrip()] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help__keeps_its_lines_in_a_narrow_window(command: list[str]) -> None:
    """Typer keeps the line breaks of all paragraphs but the first: longer lines would break twice in 80 columns."""
    texts = [
        inspect.cleandoc(text or "").split("\n\n") for text in (parser_of(command).help, parser_of(command).epilog)
    ]
    broken = [paragraph.split("\n") for paragraph in (*texts[0][1:], *texts[1]) if "\n" in paragraph]
    assert [line for lines in broken for line in lines if len(line) > 78] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help__shows_no_value_of_flags(command: list[str]) -> None:
    """`--json` takes none; every value has a metavar or a type of its own."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).stdout
    assert re.search(r"--help +-h +Show this message and exit", shown)
    assert "bool" not in shown


def test_help__groups_commands_by_what_people_want() -> None:
    """Each command in a panel, on one line of a usual window, which is what its own help begins with."""
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100"}).stdout
    panels = re.findall(r"╭─ (.+?) ─", shown)
    assert panels == ["Options", "Start", "Data", "Training", "Evaluation", "Inspection", "Weights", "Machine"]
    lines = dict(re.findall(r"^│ ([a-z][a-z-]+)  +(.+?) +│$", shown, flags=re.MULTILINE))
    firsts = {name: command.help.split("\n\n")[0].replace("\n", " ") for name, command in the_parser().commands.items()}
    assert lines == firsts


def test_version__is_printed() -> None:
    assert succeed("--version").stdout == f"vtdl {__version__}\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--nonsense", "No such option: --nonsense. See"),
        ("pretrian", "No such command 'pretrian'. Did you mean 'pretrain'"),
        ("presets shw demo", "No such command 'shw'"),
        ("pretrain --preset demo --nonsense 3", "No such option: --nonsense"),
        ("pretrain --preset demo --out runs/x", "Missing option '--train-list'"),
        ("presets show", "Missing argument 'NAME|FILE'"),
        ("pretrain --preset demo --epochs 1 --out o", "a setting of the preset. Type --set pretrain.epochs=1"),
        ("finetune --preset demo --learning-rate=0.1", "'--learning-rate' is not one of vtdl finetune, but a setting"),
        ("finetune --preset demo --learning-rate=0.1", "Type --set finetune.optimizer.lr=0.1"),
        ("pretrain --data.decoder pyav", "Type --set data.decoder=pyav"),
        ("pretrain --epochs", "Type --set pretrain.epochs=..."),
        ("evaluate --epochs 3", "No such option: --epochs"),
        ("plot --epochs 3", "No such option: --epochs"),
        (
            "visualize --weights w -clip.mp4",
            "'-clip.mp4' begins with a dash, and is taken for options. If it is a path",
        ),
        ("lists check -lists/train.txt", "If it is a path: ./-lists/train.txt, or -- before it"),
        ("pretrain --preset demo --train-list l --out o --seed -1", "Invalid value for '--seed'"),
        (
            "pretrain --preset demo --train-list l --out o --device tpu",
            "--device 'tpu' is not auto, cpu, cuda, cuda:NUMBER or mps",
        ),
        ("pretrain --preset demo --train-list l --out o --device cuda:x", "--device 'cuda:x' is not auto, cpu, cuda, "),
        ("pretrain --preset demo --train-list l --out o --device cuda:", "--device 'cuda:' is not auto, cpu, cuda, "),
        ("pretrain --preset demo --train-list l --out o --device cuda:-1", "--device 'cuda:-1' is not auto, cpu, "),
        ("probe --train a --test b --per-class ²", "--per-class '²' is not a list of numbers from 1"),
        ("pretrain --out", "Option '--out' requires an argument. See: vtdl pretrain --help"),
        ("lists convert --out", "Option '--out' requires an argument. See: vtdl lists convert --help"),
        ("pretrain --json=3", "Option '--json' does not take a value. See: vtdl pretrain --help"),
        ("pretrain --preset demo --train-list l --out o --resume --overwrite", "exclude each other"),
        ("evaluate --weights w --list l --out o --crops 2", "--crops '2' is neither 1 nor 3"),
        ("evaluate --weights w --list l --out o --clips 0", "Invalid value for '--clips'"),
        ("extract --weights w --list l --out o --preset demo", "--preset 'demo' goes with --weights none"),
    ],
)
def test_usage__wrong_is_one_line_and_2(line: str, says: str) -> None:
    result = refuse(*line.split(), code=2, says=(says,))
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("group", [[], ["presets"], ["prepare-lists"]], ids=" ".join)
def test_group__without_a_command_shows_its_help(group: list[str]) -> None:
    result = vtdl(*group)
    assert result.exit_code == 2
    assert "Usage: " in result.output
    assert "error" not in result.output.lower()


def failing_app(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=ErrorBoundary, pretty_exceptions_enable=False)

    @app.callback()
    def top() -> None: ...

    @app.command()
    def fail(debug: bool = False) -> None:  # noqa: ARG001
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (ListError("list 'a' is empty"), 1, "error: list 'a' is empty\n"),
        (ConfigError("one", "two"), 2, "error: one\nerror: two\n"),
        (Interrupted("SIGTERM: saved"), 75, "error: SIGTERM: saved\n"),
        (KeyboardInterrupt(), 1, "error: interrupted without saving\n"),
        (
            OSError(errno.EMFILE, "Too many open files", "a.mp4"),
            1,
            "error: too many files are open. Allow more (ulimit -n 4096), or use fewer --workers\n",
        ),
        (OSError(28, "No space left"), 1, "error: stdout or a file cannot be used: no space left\n"),
        (FileNotFoundError(2, "No such file", "a.txt"), 1, "error: file 'a.txt' cannot be used: no such file\n"),
    ],
)
def test_boundary__turns_errors_into_lines_and_codes(error: BaseException, code: int, stderr: str) -> None:
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert (result.exit_code, result.stderr, result.stdout) == (code, stderr, "")


@pytest.mark.parametrize(
    ("cause", "code", "stderr"),
    [
        (ConfigError("one", "two"), 2, "error: tca, seed 0: probes: one\nerror: tca, seed 0: probes: two\n"),
        (
            FileNotFoundError(2, "No such file", "a"),
            1,
            "error: tca, seed 0: probes: file 'a' cannot be used: no such file\n",
        ),
    ],
)
def test_boundary__names_the_part_of_an_ablation_that_failed(cause: Exception, code: int, stderr: str) -> None:
    error = PartFailed("tca, seed 0: probes")
    error.__cause__ = cause
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert (result.exit_code, result.stderr, result.stdout) == (code, stderr, "")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 TiB"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] data. DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_boundary__full_memory_names_what_to_lower(error: Exception) -> None:
    """Oracle: the words of NumPy, Linux and torch, as each was met."""
    (message,), code = describe(error)
    assert code == 1
    assert message.startswith("the memory is full (")
    assert "pretrain.batch_size" in message
    assert "model.width" in message


@pytest.mark.parametrize("error", [ZeroDivisionError("x\ny"), AttributeError("x\ny"), RuntimeError("x\ny")])
def test_boundary__unforeseen_error_is_one_line(error: Exception) -> None:
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: unexpected {type(error).__name__} 'x y'. This is a bug in vtdl")
    assert result.stderr.count("\n") == 1


def test_boundary__another_ctrl_c_while_an_error_is_printed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes a moment after the first: left to Typer it would be 130, and not a word."""

    def press_and_print(text: str) -> None:
        signal.raise_signal(signal.SIGINT)
        typer.echo(text, err=True)

    monkeypatch.setattr("vtdl_cli.commands.screen.print_line", press_and_print)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = CliRunner().invoke(failing_app(KeyboardInterrupt()), ["fail"])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.stderr) == (1, "error: interrupted without saving\n")


def test_boundary__debug_shows_where() -> None:
    """The traceback, in which a name cannot act on the terminal either, and the same last line and code as without."""
    result = CliRunner().invoke(failing_app(ConfigError("key '\x1b[2J' is unknown")), ["fail", "--debug"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "    raise error\n" in result.stderr
    assert result.stderr.endswith("\nerror: key '\\x1b[2J' is unknown\n")
    assert "\x1b" not in result.stderr


def test_boundary__full_gpu_names_the_batch() -> None:
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")  # torch's, without a GPU to fill
    assert "pretrain.batch_size" in describe(error)[0][0]


def test_boundary__ctrl_c_in_the_middle_of_a_lock_is_an_interruption() -> None:
    """Oracle: what the campaign met: a second error of Python's own, whose context is the Ctrl-C."""
    app = typer.Typer(cls=ErrorBoundary)

    @app.command()
    def fail() -> None:
        lock = threading.Lock()
        try:
            raise KeyboardInterrupt
        finally:
            lock.release()

    @app.command()
    def other() -> None: ...

    result = CliRunner().invoke(app, ["fail"])
    assert (result.exit_code, result.stderr) == (1, "error: interrupted without saving\n")


def test_boundary__closed_pipe_is_quiet() -> None:
    """`vtdl presets show | true`: nobody reads what is printed."""
    line = f"{sys.executable} -m vtdl_cli presets show demo | true"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["presets list --json", "lists check FILE --json"])
def test_main__full_stdout_is_one_line(command: str, unbuffered: str, tmp_path: Path) -> None:
    """Whether Python writes at once or at the end, when it would exit with 120."""
    (tmp_path / "list.txt").write_text("a.mp4 0\n")
    (tmp_path / "a.mp4").touch()
    words = command.replace("FILE", str(tmp_path / "list.txt"))
    line = f"{sys.executable} -m vtdl_cli {words} > /dev/full"
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: stdout or a file cannot be used: no space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_main__closed_stream_is_nobody_who_reads(closed: str) -> None:
    line = f"{sys.executable} -m vtdl_cli presets show demo --json {closed}"
    done = subprocess.run(["bash", "-c", line], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_main__json_of_a_run_whose_stdout_is_closed(toy: Toy, tmp_path: Path) -> None:
    """All is computed, and ends as it would have."""
    words = toy.pretrain(tmp_path / "run", "--set", "pretrain.epochs=1", "--json", "--quiet")
    line = f"{shlex.join([sys.executable, '-m', 'vtdl_cli', *words])} >&-"
    done = subprocess.run(["bash", "-c", line], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


SAY_ALL = """
import atexit, os, signal, sys, vtdl_cli.cli
from vtdl_cli.__main__ import main
def press():
    os.kill(os.getpid(), signal.SIGINT)
    print("still here", flush=True)
vtdl_cli.cli.app = lambda **_: sys.exit(75)
"""


@pytest.mark.parametrize(
    ("code", "stdout"),
    [("try: main()\nfinally: press()", ""), ("atexit.register(press)\nmain()", "still here\n")],
    ids=["before workers are waited for", "at the very end"],
)
def test_main__another_ctrl_c_once_all_is_said_ends_it_with_the_same_code(code: str, stdout: str) -> None:
    """Oracle: 75 is what was said, and --resume is what it asks for; at the very end there is nothing left to cut short."""
    result = subprocess.run([sys.executable, "-c", SAY_ALL + code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (75, stdout, "")


PRESS_IN_A_CALLBACK = """
import signal, time, vtdl_cli.cli, weakref
from vtdl_cli.__main__ import main
class Module: ...
def app(**_):
    module = Module()
    reference = weakref.ref(module, lambda _: signal.raise_signal(signal.SIGINT))
    del module
    time.sleep(30)
vtdl_cli.cli.app = app
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_main__ctrl_c_in_a_callback_is_neither_lost_nor_a_traceback() -> None:
    """Python's imports have such callbacks; what is raised in one it prints and forgets."""
    code = [sys.executable, "-c", PRESS_IN_A_CALLBACK]
    result = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, "error: interrupted without saving\n")


@pytest.mark.parametrize(
    ("line", "helps"),
    [
        ("predict --clips 0 --weights x y", "vtdl predict --help"),
        ("features import x.npy", "vtdl features import --help"),
        ("nosuch", "vtdl --help"),
    ],
)
def test_main__wrong_usage_names_the_help_of_its_command(line: str, helps: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vtdl_cli", *line.split()], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f". See: {helps}\n")
