"""`vtdl finetune`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtdl_cli.commands import options as o

if TYPE_CHECKING:
    from vtdl_cli.engine.request import ListSource

UNVALIDATED = dict.fromkeys(("finetune.best_by", "finetune.validate_every"), "there is no --val-list")
"""Settings that have no effect without a validation list, and the reason."""

OTHER_STAGE = dict.fromkeys(o.PRETRAINING_SECTIONS, "nothing is pretrained")
"""Sections without effect, and the reason."""

EPILOG = """Examples:

vtdl finetune --preset hmdb51/i3d --weights runs/pretrained --train-list lists/train_split_1.txt --val-list lists/val_split_1.txt --root videos --out runs/finetuned

vtdl finetune --preset hmdb51/i3d --weights runs/pretrained --linear-probe --train-list lists/train_split_1.txt --val-list lists/val_split_1.txt --root videos --out runs/probe
"""  # noqa: E501


def finetune(
    preset: o.PresetOption,
    train_list: Annotated[Path, typer.Option(help="Labelled videos to learn from.")],
    out: Annotated[Path, typer.Option(help="Run folder to write: checkpoints, metrics, curves.")],
    val_list: Annotated[
        Path | None,
        typer.Option(
            help="Labelled videos to validate on, a centre clip each, every finetune.validate_every epochs. They "
            "choose best.pt, and with finetune.patience when to stop: report its accuracy on others. Default: none, "
            "then last.pt is the result."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            metavar="RUN|FILE|none", help="Run folder, checkpoint or hub folder whose backbone to start from."
        ),
    ] = "none",
    linear_probe: Annotated[
        bool, typer.Option("--linear-probe", help="Train the classifier alone, on a backbone that stays as it is.")
    ] = False,
    assignments: o.SetOption = None,
    root: o.RootOption = None,
    strip_prefix: o.StripOption = "",
    list_columns: o.ColumnsOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = "auto",
    workers: o.WorkersOption = None,
    deterministic: o.DeterministicOption = False,
    resume: o.ResumeOption = False,
    overwrite: o.OverwriteOption = False,
    dry_run: o.DryRunOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Train a classifier on labelled videos.

    It starts from pretrained weights or from scratch; with --linear-probe the network stays as it is.
    """
    from vtdl_cli.commands.screen import make_reporter, print_result
    from vtdl_cli.errors import ConfigError
    from vtdl_cli.settings import load_config, without_effect

    how = o.execution(
        seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run, deterministic=deterministic
    )
    reporter = make_reporter(quiet)
    config = load_config(preset, assignments or (), reporter.warn)
    if mistakes := without_effect(assignments or (), OTHER_STAGE | ({} if val_list else UNVALIDATED)):
        raise ConfigError(*mistakes)
    from vtdl_cli.engine.train.finetune import finetune

    train_source = o.list_source(train_list, root, strip_prefix, list_columns)
    val_source = o.list_source(val_list, root, strip_prefix, list_columns) if val_list else None
    result = finetune(
        config,
        train_source,
        val_source,
        out,
        how,
        reporter,
        weights=None if weights == "none" else weights,
        linear_probe=linear_probe,
    )
    print_result(result, as_json, "plan" if dry_run else "finetuned")
    if not (dry_run or as_json):
        chooses = bool(val_list and config.finetune.validate_every)
        for line in _next_steps(out, val_source or train_source, validates=bool(val_list), chooses=chooses):
            reporter.line(line)


def _next_steps(out: Path, videos: "ListSource", *, validates: bool, chooses: bool) -> Iterator[str]:
    """Yield how to measure without bias: on the test list, else on the validation list with weights it did not choose.

    Args:
        out: the run folder.
        videos: the validation list, or the training list without one.
        validates: whether it is the validation list.
        chooses: whether it chose best.pt.
    """
    from vtdl_cli.engine.lists.outputs import find_list

    weights, measured = out, find_list("test", videos.path)
    if measured is None and not validates:
        yield "no --val-list: nothing was validated. Measure on videos that the run has not seen: vtdl evaluate --help"
        return
    if measured is None:
        measured = videos.path
        if chooses:
            weights = out / "checkpoints" / "last.pt"
            yield f"best.pt was chosen on '{measured}', and there is no test list beside it; last.pt was not chosen"
    typed = f"--weights {shlex.quote(str(weights))} {o.retype_lists(videos, list=measured)}"
    yield f"next: vtdl evaluate {typed} --out {shlex.quote(str(out / 'results'))}"
