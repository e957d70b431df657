"""vtdl_cli/README, Map, by reading the code: imports only go down."""

import ast
from functools import cache
from pathlib import Path

import vtdl_cli

PACKAGE = Path(vtdl_cli.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))

FLOOR = {"metrics", "intervals", "runtime", "locks", "workers", "ranks", "system", "text", "errors"}
CONFIGURATION = {"settings", "setting_keys", "yaml_values", "config"}
LEAVES = ("method", "models", "data", "analysis")
MAY_IMPORT = {
    "__main__": {"cli", "ranks", "system"},
    "cli": {"commands", "workers", "ranks", "errors"},
    "commands": {"commands", "engine", *CONFIGURATION, *FLOOR},
    "api": {"engine", "models", "data", "config", *FLOOR},
    "engine": {"engine", *CONFIGURATION, *LEAVES, *FLOOR},
    **{leaf: {leaf, *FLOOR} for leaf in LEAVES},
    "settings": {"setting_keys", "yaml_values", "config", "runtime", "text", "errors"},
    "setting_keys": {"config", "runtime"},
    "yaml_values": {"text"},
    "config": set(),
    "metrics": {"intervals", "errors"},
    "intervals": set(),
    "text": set(),
    "locks": {"runtime", "ranks", "errors"},
    "runtime": {"ranks", "system", "errors"},
    "workers": {"system"},
    "system": set(),
    "ranks": {"errors"},
    "errors": set(),
    "__init__": {"api", "errors"},  # when one of their names is used
}


ROOMS = {
    "engine": (
        "request",
        "lists",
        "features",
        "networks",
        "train",
        "evaluate",
        "bench",
        "report",
        "weights",
        "stages",
        "ablation",
        "demo",
        "doctor",
    ),
    "data": ("video", "lists", "hdf5", "clips"),
}
"""Of a part, lowest first: what is in a room imports from it and from those before it."""


def part_of(module: Path) -> str:
    """`engine` for vtdl_cli/engine/networks/build.py, `cli` for vtdl_cli/cli.py."""
    return module.parts[1].removesuffix(".py")


def imported_parts(tree: ast.AST) -> set[str]:
    """Which parts of the package a module imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {name[1] for name in parts if name[0] == "vtdl_cli" and name[1] != "__version__"}


@cache
def parse(module: Path) -> ast.Module:
    return ast.parse((PACKAGE.parent / module).read_text(encoding="utf-8"))


def test_imported_parts__finds_every_form() -> None:
    text = "import vtdl_cli.engine.networks.build\nfrom vtdl_cli import data, __version__\ndef f():\n  from vtdl_cli.cli import app"
    assert imported_parts(ast.parse(text)) == {"engine", "data", "cli"}


def test_imports__go_down() -> None:
    up = {str(module): imported_parts(parse(module)) - MAY_IMPORT[part_of(module)] for module in MODULES}
    assert {module: names for module, names in up.items() if names} == {}


def test_imports__are_absolute() -> None:
    relative = [
        f"{module}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(parse(module))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_engine__never_prints() -> None:
    printing = [
        f"{module}:{node.lineno}"
        for module in MODULES
        if part_of(module) not in ("commands", "cli")
        for node in ast.walk(parse(module))
        if isinstance(node, ast.Name) and node.id in ("print", "typer")
    ]
    assert printing == []


def test_imports__have_no_circle() -> None:
    waiting = {module: imports_of(module) for module in MODULES}
    while free := [module for module, needs in waiting.items() if not needs & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting


def room_of(module: Path) -> str:
    """`train` for vtdl_cli/engine/train/step.py, `stages` for vtdl_cli/engine/stages.py."""
    return module.parts[2].removesuffix(".py")


def test_rooms__import_from_those_below_alone() -> None:
    wrong = []
    for module in (module for module in MODULES if part_of(module) in ROOMS and len(module.parts) > 2):
        rooms = ROOMS[part_of(module)]
        if room_of(module) == "__init__":
            continue
        allowed = rooms[: rooms.index(room_of(module)) + 1]  # every module has to be in a room
        needs = (needed for needed in imports_of(module, everywhere=True) if part_of(needed) == part_of(module))
        wrong += [f"{module} -> {needed}" for needed in needs if room_of(needed) not in allowed]
    assert wrong == []


def imports_of(module: Path, *, everywhere: bool = False) -> set[Path]:
    """The modules that this one needs before it can run: those imported at its top; or those it imports everywhere."""
    needed = set()
    for node in ast.walk(parse(module)) if everywhere else parse(module).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                needed.add(Path(name.replace(".", "/") + ".py"))
    return needed & set(MODULES)
