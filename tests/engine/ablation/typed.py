"""What is typed to ablate the toy videos, and what comes of it."""

import csv
from pathlib import Path

from tests.toy import Toy

MOCO, SCRATCH = "moco", "scratch"


def words(toy: Toy, out: Path, *more: str) -> list[str]:
    lists = ["--train-list", str(toy.train_list), "--val-list", str(toy.val_list), "--root", str(toy.root)]
    small = ["--rows", "scratch,moco", "--seeds", "2", "--draws", "2", "--device", "cpu", "--workers", "0"]
    return ["ablate", "--preset", str(toy.preset), *lists, *small, "--out", str(out), *more]


def table(out: Path) -> dict[tuple[str, str, str], float]:
    """The lines of ablation.csv, without times."""
    with (out / "ablation.csv").open() as file:
        lines = list(csv.DictReader(file))
    values = {(line["row"], line["seed"], line["metric"]): float(line["value"]) for line in lines}
    return {key: value for key, value in values.items() if not key[2].endswith("seconds")}
