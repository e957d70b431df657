"""`vtdl demo`."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.text import mean_and_half, printable

if TYPE_CHECKING:
    from rich.table import Table

EPILOG = """Examples:

vtdl demo

vtdl demo --ablation --out vtdl-demo-ablation
"""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for videos, lists, runs, features and figures.")] = Path(
        "vtdl-demo"
    ),
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation",
            help="Compare every step from scratch to the whole method, over 5 seeds with videos of their own.",
        ),
    ] = False,
    seed: o.SeedOption = 0,
    videos: Annotated[int, typer.Option(min=16, help="Videos of each of the 8 classes; a quarter to test on.")] = 84,
    preset: o.PresetOption = "demo",
    assignments: o.SetOption = None,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help=f"{o.JOBS} Default: one for each core, at most 4.", rich_help_panel=o.RUNNING),
    ] = None,
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

    how = o.execution(seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run)
    reporter = make_reporter(quiet)
    config = o.checked_config(preset, assignments, reporter)
    from vtdl_cli.engine.demo.demo import demo

    result = demo(config, out, how, reporter, videos_per_class=videos, ablation=ablation, jobs=jobs)
    if as_json or dry_run:
        print_result(result, as_json, "plan")
        return
    _show(result, out, "since it was resumed" if resume else "in all")


def _show(result: dict[str, Any], out: Path, counted: str) -> None:
    """Print the table, what it says, the figures, and what to type next; `counted` says which seconds are known."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(_table(result))
    console.print(f"Chance: {result['chance']:.1f}%. {result['seconds']:.0f} s {counted}.\n")
    for line in result["verdict"]:
        console.print(line)
    console.print(f"\nFigures: {'  '.join(map(printable, result['pictures']))}\n\nNext, on these videos:\n")
    for words in _next_steps(result["files"], out):
        console.print(printable(f"vtdl {shlex.join(words)}"))
    console.print("\nOn your own, in one folder for each class:\n")
    console.print("vtdl prepare-lists folder --root videos --out lists")


def _next_steps(files: Mapping[str, str], out: Path) -> Iterator[list[str]]:
    """Yield the words of two commands that use what the demo has written."""
    run, videos = files["pretraining"], ["--train-list", files["labelled_list"], "--val-list", files["val_list"]]
    paths = [*videos, "--root", files["root"], "--out", str(out / "linear")]
    yield ["finetune", "--preset", f"{run}/config.yaml", "--weights", run, "--linear-probe", *paths]
    yield ["probe", "--train", files["train_features"], "--test", files["val_features"]]


def _table(result: dict[str, Any]) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    few = f"{result['labelled_videos']} labelled of {result['pretraining_videos']}"
    mean = f"mean ± half of its 95% interval over {_repeated(result)}"
    table = Table(
        title=f"top-1 in % on {result['test_videos']} test videos; few-shot: {few}; {mean}",
        title_justify="left",
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    columns = {title: [_interval(of.get(row)) for row in result["rows"]] for title, of in _estimates(result)}
    columns["training"] = [f"{result['training_seconds'][row]:.0f} s" for row in result["rows"]]
    table.add_column("", min_width=max(map(len, result["rows"])))
    for title, cells in columns.items():
        width = max(map(len, [*cells, *title.split()]))  # titles are broken, numbers are not
        table.add_column(title, justify="right", width=width)
    for row in zip(result["rows"], *columns.values(), strict=True):
        table.add_row(*row)
    return table


def _estimates(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the title and the estimates of each metric."""
    return [(title, result["estimates"][metric]) for metric, title in result["titles"].items()]


def _repeated(result: Mapping[str, Any]) -> str:
    """Return what means are over."""
    if result["seeds"] > 1:
        return f"{result['seeds']} seeds"
    return f"{result['finetuned_draws']} draws of labels (linear probe: {result['probe_draws']})"


def _interval(found: Mapping[str, Any] | None) -> str:
    """Return a mean and half its interval; a dash where nothing was measured."""
    return "–" if found is None else mean_and_half(found)
