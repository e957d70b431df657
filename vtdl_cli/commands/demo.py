"""`vtdl demo`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.text import printable

if TYPE_CHECKING:
    from rich.table import Table

EPILOG = """Examples:

vtdl demo

vtdl demo --seed 1 --out demo-1 --json
"""

ROWS = {
    "from_scratch": "from scratch",
    "from_scratch_equal_time": "from scratch, equal training time",
    "pretrained": "pretrained without labels, finetuned",
}


def demo(
    out: Annotated[Path, typer.Option(help="Folder for videos, lists, runs, features and figures.")] = Path(
        "vtdl-demo"
    ),
    seed: o.SeedOption = 0,
    videos: Annotated[int, typer.Option(min=16, help="Videos of each of the 8 classes; a quarter to test on.")] = 84,
    preset: o.PresetOption = "demo",
    assignments: o.SetOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    dry_run: o.DryRunOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Try it: pretraining against training from scratch, on generated videos.

    The whole chain in minutes: pretrain without labels, finetune, evaluate, extract. No data, GPU or network is needed.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.settings import load_config

    how = o.execution(seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run)
    config = load_config(preset, assignments or (), make_reporter(quiet).warn)
    from vtdl_cli.engine.demo import demo
    from vtdl_cli.engine.networks.methods import check_config

    check_config(config, assignments or ())
    result = demo(config, out, how, make_reporter(quiet), videos_per_class=videos)
    if as_json or dry_run:
        print_result(result, as_json, "plan")
        return
    _show(result, out)


def _show(result: dict[str, Any], out: Path) -> None:
    """Print the table, the figures, and what to type next."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(_table(result))
    free = result["label_free"]
    console.print(
        f"\nBefore any finetuning, kNN: untrained network {free['untrained']:.1f}%, "
        f"pretrained {free['pretrained']:.1f}%. Chance: {result['chance']:.1f}%. {result['seconds']:.0f} s in all."
    )
    curves, triplet = map(printable, result["pictures"])
    console.print(f"Figures: {curves}  {triplet}\n\nNext, on these videos:\n")
    for words in _next_steps(out):
        console.print(printable(f"vtdl {shlex.join(map(str, words))}"))
    console.print("\nOn your own, in one folder for each class:\n")
    console.print("vtdl prepare-lists folder --root videos --out lists")


def _next_steps(out: Path) -> Iterator[list[str | Path]]:
    """Yield the words of two commands that use what the demo has written."""
    run, lists, features = out / "pretraining", out / "lists", out / "features"
    videos: list[str | Path] = ["--train-list", lists / "labelled_split_1.txt", "--val-list", lists / "val_split_1.txt"]
    paths = [*videos, "--root", out / "videos", "--out", out / "linear"]
    yield ["finetune", "--preset", run / "config.yaml", "--weights", run, "--linear-probe", *paths]
    yield ["probe", "--train", features / "pretraining-labelled.h5", "--test", features / "pretraining-test.h5"]


def _table(result: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(title=f"top-1 on {result['test_videos']} test videos, %", title_justify="left")
    table.add_column(f"{result['labelled_videos']} labelled videos")
    for column in ("1 clip", "10 clips", "kNN", "training"):
        table.add_column(column, justify="right")
    for key, name in ROWS.items():
        row = result[key]
        accuracies = (f"{row[column]:.1f}" for column in ("clip@1", "video@10", "knn"))
        table.add_row(name, *accuracies, f"{row['seconds']:.0f} s")
    return table
