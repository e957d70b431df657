"""What --overwrite replaces: earlier runs of the same command, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.toy import Toy, files_in, load, refuse, succeed

ONE_EPOCH = ("--set", "pretrain.epochs=1")


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_overwrite__refuses_a_run_of_the_other_stage(
    toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path, stage: str
) -> None:
    """Also where it was saved in its first epoch, and has no log yet."""
    other, there = {"pretrain": ("finetune", finetuned), "finetune": ("pretrain", pretrained)}[stage]
    run = tmp_path / "run"
    shutil.copytree(there, run)
    (run / "metrics.jsonl").unlink()
    before = files_in(run)
    says = (f"run folder '{run}' holds a run of vtdl {other}, which vtdl {stage} does not overwrite",)
    for more in ((), ("--dry-run",)):
        refuse(*getattr(toy, stage)(run, "--overwrite", *more), code=2, says=says)
    assert files_in(run) == before


def test_overwrite__refuses_files_of_no_run(toy: Toy, tmp_path: Path) -> None:
    """A preset and a table of the user's; notes alone are in nobody's way."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    succeed(*toy.pretrain(run, "--overwrite", "--dry-run"))
    (run / "metrics.csv").write_text("a,b")
    says = (f"run folder '{run}' holds metrics.csv, and no run of vtdl. Choose another --out",)
    refuse(*toy.pretrain(run, "--overwrite"), code=2, says=says)
    shutil.copy(toy.preset, run / "config.yaml")
    says = (f"run folder '{run}' holds metrics.csv and 1 more, and no run of vtdl. Choose another --out",)
    refuse(*toy.pretrain(run, "--overwrite"), code=2, says=says)
    (run / "metrics.csv").unlink()
    refuse(*toy.pretrain(run, "--overwrite"), code=2, says=(f"run folder '{run}' holds config.yaml, and no run",))
    assert (run / "config.yaml").read_bytes() == toy.preset.read_bytes()
    assert files_in(run) == {"config.yaml", "notes.txt"}


def test_overwrite__replaces_a_run_that_was_stopped_before_its_first_save(
    toy: Toy, pretrained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(pretrained / "config.yaml", run)
    succeed(*toy.pretrain(run, "--overwrite", *ONE_EPOCH))
    assert load(run / "checkpoints/last.pt")["epoch"] == 1


def test_overwrite__replaces_a_damaged_run(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    (run / "checkpoints/last.pt").write_bytes(b"damaged")
    succeed(*toy.pretrain(run, "--overwrite", *ONE_EPOCH))
    assert load(run / "checkpoints/last.pt")["epoch"] == 1
