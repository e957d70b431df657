"""`vtdl pretrain`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtdl_cli.commands import options as o

if TYPE_CHECKING:
    from vtdl_cli.engine.request import ListSource

EPILOG = """Examples:

vtdl pretrain --preset small/r3d --train-list videos --out runs/pretrained

vtdl pretrain --preset hmdb51/i3d --train-list lists/train_split_1.txt --root videos --out runs/b --seed 1
"""


def pretrain(
    preset: o.PresetOption,
    train_list: Annotated[
        Path,
        typer.Option(
            metavar="LIST|FOLDER",
            help="Videos to learn from: a list, or a folder that holds them at any depth. Labels are not used.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write: checkpoints, metrics, curves.")],
    weights: Annotated[
        str,
        typer.Option(
            metavar="RUN|FILE|none", help="Run folder, checkpoint or hub folder whose backbone to start from."
        ),
    ] = "none",
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
    """Learn from videos without labels.

    The method is that of the preset: VTDL unless it names another.
    """
    from vtdl_cli.commands.screen import make_reporter, print_columns, print_result

    how = o.execution(
        seed, device, workers, resume=resume, overwrite=overwrite, dry_run=dry_run, deterministic=deterministic
    )
    reporter = make_reporter(quiet)
    config = o.checked_config(preset, assignments, reporter)
    from vtdl_cli.engine.train.pretrain import pretrain

    videos = o.list_source(train_list, root, strip_prefix, list_columns)
    result = pretrain(config, videos, out, how, reporter, weights=None if weights == "none" else weights)
    print_result(result, as_json, "plan" if dry_run else "pretrained")
    if "triplets" in result and not as_json:
        print_columns(result["triplets"], "triplets by method.sampling.negative, in % except for the stride")
    if not (dry_run or as_json):
        for line in _next_steps(o.retype(preset, assignments), videos, out, has_classes=bool(result["classes"])):
            reporter.line(f"next: {line}")


def _next_steps(typed: str, videos: "ListSource", out: Path, *, has_classes: bool) -> Iterator[str]:
    """Yield the commands that use the weights; `typed` is the preset as given here."""
    from vtdl_cli.engine.lists.outputs import find_list

    weights = f"--weights {shlex.quote(str(out))}"
    if has_classes:
        lists = o.retype_lists(videos, train_list=videos.path, val_list=find_list("val", videos.path))
        yield f"vtdl finetune {typed} {weights} {lists} --out {shlex.quote(f'{out}-finetuned')}"
    yield f"vtdl extract {weights} {o.retype_lists(videos, list=videos.path)} --out {shlex.quote(f'{out}.h5')}"
