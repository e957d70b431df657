"""`vtdl ablate`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtdl_cli.commands import options as o
from vtdl_cli.text import mean_and_half, printable

if TYPE_CHECKING:
    from rich.table import Table

EPILOG = """Examples:

vtdl ablate --preset small/r3d --train-list lists/train.txt --val-list lists/val.txt --root videos --out ablation

vtdl ablate --preset hmdb51/i3d --rows published --finetune --train-list train.txt --val-list val.txt --out published
"""

TRAINING = {
    "pretraining": "pretraining",
    "finetuning": "finetuning",
    "few_shot_finetuning": "few-shot finetuning",
}
"""Trainings, as the names of their `..._epochs` and `..._seconds` begin, and their titles."""

DEFAULT_ROWS = "scratch,moco,moco-equal-time,intra-video-negative,tca"


def ablate(
    preset: o.PresetOption,
    train_list: Annotated[
        Path,
        typer.Option(
            help="List to pretrain on, and to take labels from; {seed} in its path and in --root stands for the seed."
        ),
    ],
    val_list: Annotated[Path, typer.Option(help="List that accuracies are measured on; may also have {seed}.")],
    out: Annotated[Path, typer.Option(help="Folder for all runs, ablation.csv, ablation.png and ablation.json.")],
    rows: Annotated[
        str, typer.Option(metavar="NAME|FILE,...", help="Rows to compare: by name, or a YAML file of your own.")
    ] = DEFAULT_ROWS,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of seeds, counted from --seed.")] = 5,
    against: Annotated[
        str | None, typer.Option(metavar="ROW", help="Row to compare the others with. Default: moco, or the first.")
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            metavar="steps|seconds|seconds:ROW",
            help="What every pretrained row gets: the steps of the preset, or the time that ROW takes; "
            "seconds alone: the last row.",
        ),
    ] = "steps",
    per_class: Annotated[int, typer.Option(min=1, help="Few-shot: labelled videos of each class.")] = 2,
    draws: Annotated[int, typer.Option(min=1, help="Few-shot: random draws of labels, which are averaged.")] = 20,
    finetune: Annotated[bool, typer.Option("--finetune", help="Also finetune every network on all labels.")] = False,
    finetune_draws: Annotated[
        int, typer.Option(min=0, help="Also finetune every network on so many of the few-shot draws.")
    ] = 0,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    jobs: Annotated[int, typer.Option(min=1, help=o.JOBS, rich_help_panel=o.RUNNING)] = 1,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    dry_run: o.DryRunOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Compare settings over several seeds, and test the differences.

    Rows: scratch, scratch-equal-time, moco, moco-equal-time,
    intra-video-negative, tca, tca-without-negative. The rows of the paper's
    ablation, together: published (baseline, basic-augmentation,
    temporal-discriminative, tca).

    Your own rows: a YAML file with a line NAME: [SECTION.KEY=VALUE, ...] each.
    In the brackets, 'scratch' stands for no pretraining, and 'equal time as NAME'
    for as many epochs as take the time of that row: of pretraining or, from
    scratch, of finetuning. With --jobs, that is its time beside other jobs.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result

    reporter = make_reporter(quiet)
    how = o.execution(seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run)
    config = o.checked_config(preset, assignments, reporter)
    from vtdl_cli.engine.ablation.ablate import ablate
    from vtdl_cli.engine.ablation.measures import Measures
    from vtdl_cli.engine.ablation.rows import PUBLISHED, read_rows

    train, test = (o.list_source(each, root, strip_prefix, list_columns) for each in (train_list, val_list))
    result = ablate(
        config,
        read_rows(rows),
        (train, test),
        out,
        how,
        reporter,
        num_seeds=seeds,
        measures=Measures(per_class, draws, finetune, finetune_draws),
        budget=budget,
        against=against,
        jobs=jobs,
    )
    if as_json or dry_run:
        print_result(result, as_json, "plan")
        return
    _show(result, PUBLISHED.get(preset, {}) if finetune else {})


def _show(result: dict[str, Any], published: Mapping[str, float]) -> None:
    """Print the tables, the verdict, and where the files are."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(_accuracies(result))
    if any(f"{name}_seconds" in _names(result) for name in TRAINING):
        console.print(_training(result, published))
    console.print(f"\n{printable(result['verdict'])}")
    console.print(printable(f"Files: {result['table']}  {result['figure']}"))


def _accuracies(result: dict[str, Any]) -> "Table":
    """Return means, paired differences and their p, a section for each metric."""
    from rich.table import Table

    against = printable(result["against"])
    table = Table(
        title=f"top-1 in %, mean over {result['seeds']} seeds ± half of its 95% interval", title_justify="left"
    )
    table.add_column("row")
    for title in ("mean", f"difference to {against}", "corrected p"):
        table.add_column(title, justify="right")
    for metric, estimates in result["estimates"].items():
        table.add_row(result["titles"][metric], style="bold")
        for row, found in estimates.items():
            table.add_row(
                f"  {printable(row)}", mean_and_half(found), *_difference(result["differences"][metric].get(row))
            )
        table.add_section()
    return table


def _training(result: dict[str, Any], published: Mapping[str, float]) -> "Table":
    """Return what training took and came to, in the mean, beside the published accuracy where there is one."""
    from rich.table import Table

    names = _names(result)
    titles = {name: title for name, title in TRAINING.items() if f"{name}_seconds" in names}
    table = Table(title="training, mean over seeds", title_justify="left")
    table.add_column("row", min_width=max(map(len, result["rows"])))  # titles are broken, names are not
    for title in (
        *titles.values(),
        *(["last loss"] if "loss" in names else []),
        *(["published top-1"] if published else []),
    ):
        table.add_column(title, justify="right")
    for row in result["rows"]:
        runs = [rows[row] for rows in result["results"].values()]
        cells = [_cost(runs, name) for name in titles]
        cells += [_mean(runs, "loss", ".2f")] if "loss" in names else []
        cells += [f"{published[row]:.1f}" if row in published else ""] if published else []
        table.add_row(printable(row), *cells)
    return table


def _cost(runs: Sequence[Mapping[str, float]], training: str) -> str:
    """Return the epochs and the time of a training; empty where there was none."""
    epochs, seconds = (_mean(runs, f"{training}_{name}", ".0f") for name in ("epochs", "seconds"))
    return f"{epochs} {'epoch' if epochs == '1' else 'epochs'}, {seconds} s" if epochs else ""


def _mean(runs: Sequence[Mapping[str, float]], name: str, form: str) -> str:
    """Return the mean of a result; empty where there is none."""
    found = [run[name] for run in runs if name in run]
    return format(sum(found) / len(found), form) if found else ""


def _names(result: dict[str, Any]) -> set[str]:
    """Return the names of all results."""
    return {name for rows in result["results"].values() for results in rows.values() for name in results}


def _difference(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return a difference and its p; both empty for the reference itself."""
    if found is None:
        return "", ""
    return mean_and_half(found, "+"), "" if found["p_holm"] is None else f"{found['p_holm']:.2g}"
