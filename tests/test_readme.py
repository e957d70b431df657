"""The READMEs: their commands run or parse, their settings exist, their links lead somewhere, the map is the tree."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import h5py
import pytest
import typer

from tests.campaign import __main__ as campaign
from tests.toy import Toy, succeed
from vtdl_cli.cli import app
from vtdl_cli.commands.default_command import FirstIsDefault
from vtdl_cli.config import Config
from vtdl_cli.setting_keys import all_keys, setting_choices

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
READMES = [README, *(path for part in ("vtdl_cli", "presets", "tests") for path in sorted((ROOT / part).rglob("*.md")))]
OMITTED = "..."
"""Stands, at the end of a command, for options that it needs besides."""
IN_LOOPS = {"$seed": "1", "$epochs": "25", "$small": "", "$settings": "", "$fresh": "", "$groups": ""}
"""Variables of the shell loops that measure, and what may stand for them."""
LESS = {  # for eighteen videos and one core
    "pretrain": ("--set", "pretrain.epochs=1", "--set", "pretrain.batch_size=4"),
    "finetune": ("--set", "finetune.epochs=1"),
}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def prose(path: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def shell_lines(block: str) -> list[str]:
    return [part.strip() for line in block.splitlines() for part in re.split(r"&&|; do |; done", line)]


def commands_of(path: Path) -> list[str]:
    """Every command of the blocks and of the prose, once."""
    lines = [line for block in blocks(path, "bash") for line in shell_lines(block)]
    words = [*lines, *re.findall(r"`([^`]+)`", prose(path))]
    return list(dict.fromkeys(word for word in words if re.match(r"(vtdl|torchrun|python) ", word)))


def substituted(line: str) -> list[str]:
    """The words of a command, with values for a loop's variables."""
    names = "|".join(re.escape(name) for name in IN_LOOPS)
    return [
        word for word in (re.sub(names, lambda found: IN_LOOPS[found[0]], each) for each in shlex.split(line)) if word
    ]


def options_of(parser: Any) -> set[str]:
    return {option for parameter in parser.params for option in parameter.opts}


def check_command(words: list[str]) -> None:
    """Parse the words after `vtdl`; a command alone is a mention, and where `...` ends it, only its options are known."""
    parser: Any = typer.main.get_command(app)
    if words[0] in options_of(parser):
        return
    while hasattr(parser, "commands") and words:
        is_named = words[0] in parser.commands
        assert is_named or isinstance(parser, FirstIsDefault), f"no command '{words[0]}'"
        parser = parser.commands[words.pop(0) if is_named else next(iter(parser.commands))]
    if words and words[-1] == OMITTED:
        assert {word for word in words if word.startswith("--")} <= options_of(parser)
    elif words:
        parser.make_context("vtdl", words)


@pytest.mark.parametrize("line", sorted({line for path in READMES for line in commands_of(path)}))
def test_readmes__commands_parse(line: str) -> None:
    words = substituted(line)
    if words[0] == "torchrun":
        words = ["vtdl", *words[words.index("vtdl_cli") + 1 :]]
    if words[:3] == ["python", "-m", "tests.campaign"]:
        campaign.parser().parse_args(words[3:])
    elif words[0] == "python":
        module = words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]
        assert (ROOT / module).is_file()
    else:
        check_command(words[1:])


def test_readmes__name_every_command() -> None:
    """Oracle: the command line's own list."""
    text = "".join(map(Path.read_text, READMES))
    group: Any = typer.main.get_command(app)
    assert [name for name in group.commands if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readmes__settings_exist(path: Path) -> None:
    """Oracle: the keys of the configuration; a section stands for those in it, and a method's options are its own."""
    text = path.read_text(encoding="utf-8")
    sections = "data|method|pretrain|finetune|evaluate|extract"
    named = re.findall(r"--set '?([a-z_.]+)=", text) + re.findall(
        rf"`((?:{sections})\.[a-z_.]+)(?:=[^`]*)?`", prose(path)
    )
    files = {name for name in named if name.endswith(".py")}
    known = {".".join(key.split(".")[:depth]) for key in all_keys() for depth in range(1, key.count(".") + 2)}
    assert {name for name in named if not name.startswith("method.options")} - files - known == set()


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them: lower case, without punctuation, dashes for blanks."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readmes__links_lead_somewhere(path: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        file = file / "README.md" if file.is_dir() else file
        is_there = link.startswith("https://") or (file.exists() and (not anchor or anchor in anchors(file)))
        dead += [] if is_there else [link]
    assert dead == []


def test_readme__is_a_front_page() -> None:
    """About 9 kB; what takes more lies beside what it describes."""
    assert README.stat().st_size < 11_000
    text = README.read_text(encoding="utf-8")
    assert "\npip install -e . && vtdl demo\n" in text
    assert "\npip install -e '.[dev]' && pytest\n" in text


def test_readme__accuracies_are_those_of_the_measured_tables() -> None:
    """Oracle: presets/README.md, where each stands with the commands that it is from."""
    measured = (ROOT / "presets" / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"\d+\.\d(?: ± \d+\.\d)?", "".join(re.findall(r"^\|.*\|$", prose(README), flags=re.MULTILINE)))
    assert len(shown) > 20
    assert [figure for figure in shown if figure not in measured] == []


def test_pictures__are_small_and_shown() -> None:
    """Together below 1 MB, and each on some page."""
    pictures = [*(ROOT / ".pictures").iterdir()]
    text = "".join(map(Path.read_text, READMES))
    assert [path.name for path in pictures if f".pictures/{path.name}" not in text] == []
    assert sum(path.stat().st_size for path in pictures) < 1_000_000


def table_after(path: Path, heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    text = path.read_text(encoding="utf-8")
    lines = text[text.index(f"\n{heading}\n") :].split("\n\n| ")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_dependencies__are_those_of_the_package() -> None:
    """Oracle: pyproject.toml."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    rows = table_after(ROOT / "vtdl_cli/README.md", "## Dependencies")
    named = [re.sub(r" \(.*", "", name) for what, _ in rows for name in what.split(", ")]
    assert sorted(named) == sorted(re.split(r"[><=;]", each)[0] for each in declared)


def default_of(key: str) -> str:
    """As one would type it."""
    section: Any = Config
    *sections, name = key.split(".")
    for each in sections:
        section = section.model_fields[each].annotation
    default = section.model_fields[name].default
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_method_options__begin_with_the_default_and_leave_out_none() -> None:
    """Oracle: the configuration: of settings with a choice, what there is to choose, and the default."""
    choices = setting_choices()
    rows = {key.strip("`"): values for key, values in table_after(ROOT / "vtdl_cli/method/README.md", "## Options")}
    assert [key for key in rows if key not in choices] == []
    for key, values in rows.items():
        named = [value for value in re.findall(r"`([^`]+)`", values) if value in choices[key]]
        assert set(choices[key]) <= set(named), key
        assert not named or named[0] == default_of(key), key


CHAINS = {  # block of the front page, by the first of its commands -> what it leaves behind
    "pretrain": (
        "runs/pretrained/checkpoints/last.pt",
        "features.h5",
        "features-tsne.png",
        "retrieval.png",
        "nearest.csv",
        "features.csv",
    ),
    "prepare-lists": (
        "lists/test_split_1.txt",
        "runs/finetuned/checkpoints/best.pt",
        "runs/finetuned/results/metrics.json",
        "train.h5",
        "val.h5",
        "retrieval.png",
        "runs/finetuned/report.html",
    ),
}


@pytest.mark.chain
@pytest.mark.usefixtures("real_pictures")
@pytest.mark.parametrize("first", CHAINS)
def test_readme__commands_run_in_order(first: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").symlink_to(toy.root)
    monkeypatch.chdir(tmp_path)
    chains = [
        [shlex.split(line)[1:] for line in shell_lines(block) if line.startswith("vtdl ")]
        for block in blocks(README, "bash")
    ]
    (chain,) = (lines for lines in chains if lines and lines[0][0] == first)
    for name, *options in chain:
        succeed(name, *options, *LESS.get(name, ()))
    assert [name for name in CHAINS[first] if not (tmp_path / name).exists()] == []
    if first == "prepare-lists":
        check_files(tmp_path)


def check_files(made: Path) -> None:
    """What the chain has written is what the tables of files say. Oracle: the files."""
    page = ROOT / "vtdl_cli/data/README.md"
    named = re.findall(r"`([^`]+)`", str([row[0] for row in table_after(page, "## Run folder")]))
    run = made / "runs/finetuned"
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    not_named = {
        name for name in files if name not in named and not name.startswith(("events.out.", ".", "report", "results/"))
    }
    assert not_named == set()
    results = [row[0].strip("`") for row in table_after(page, "## Results and scores")]
    assert sorted(results) == sorted(path.name for path in (run / "results").iterdir() if path.name[0] != ".")
    columns = re.findall(r"`([^`]+)`", str([row[0] for row in table_after(page, "## Features")]))
    with h5py.File(made / "train.h5") as file:
        assert [name for name in file if name not in columns] == []


def test_map__names_every_part() -> None:
    """Oracle: the folders themselves."""
    package = ROOT / "vtdl_cli"
    tree = next(block for block in blocks(package / "README.md", "") if block.startswith("vtdl_cli/"))
    parts = [path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert [name for name in parts if name != "__init__.py" and name not in tree] == []
    engine = tree[tree.index("  engine/ ") : tree.index("  method/ ")]
    rooms = [f"{path.parent.name}/" for path in (package / "engine").glob("*/__init__.py")]
    assert [room for room in rooms if room not in engine] == []
    not_commands = {
        "--init--",
        "options",
        "screen",
        "audit-summary",
        "presets",
        "completion",
        "default-command",
        "transcode",
        "unknown-options",
    }
    commands_there = {path.stem.replace("_", "-") for path in (package / "commands").glob("*.py")} - not_commands
    assert [name for name in (*commands_there, "compress", "extract-frames") if name not in engine] == []


def ablation_commands() -> list[str]:
    """Of the table of published rows; what every command needs besides is `...` there."""
    text = (ROOT / "presets" / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| row of the published ablation") :].split("\n\n")[0]
    return re.findall(r"`vtdl (.*?) \.\.\.`", table)


def test_published_rows__have_a_command_each() -> None:
    """Oracle: the published rows: two from scratch, two pretrained; and the untabulated one, pretrained, too."""
    assert [line.split()[0] for line in ablation_commands()] == ["finetune"] * 2 + ["pretrain"] * 3


@pytest.mark.parametrize("line", ablation_commands())
def test_published_rows__commands_pass_their_checks(line: str, toy: Toy, tmp_path: Path) -> None:
    """For both data sets; a batch of four, as the list has twelve videos."""
    name, *options = shlex.split(line)
    lists = toy.pretrain(tmp_path / "run") if name == "pretrain" else toy.finetune(tmp_path / "run")
    less = ("--set", f"{name}.batch_size=4", "--dry-run", "--json")
    for preset in ("hmdb51/i3d", "ucf101/i3d"):
        chosen = [preset if word == "hmdb51/i3d" else word for word in options]
        plan = json.loads(succeed(*lists, *chosen, *less).stdout)
        assert plan["stage"] == name
