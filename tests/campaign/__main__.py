"""`python -m tests.campaign`: kills, damage, fuzzed lists, several processes, two at once; nothing lost, nothing silent.

What is drawn depends on --seed, the part and the trial's number: `--only kills --trial 17` is the same trial again.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: what is compared bit by bit is computed in one order


def main() -> None:
    """Read the options, run the campaign, and end with 1 where anything was found."""
    options = parser().parse_args()
    from tests.campaign.campaign import PARTS, run_campaign

    numbers = {
        "kills": options.kills,
        "checkpoints": options.damaged,
        "hdf5": options.damaged,
        "lists": options.lists,
        "ranks": options.ranks,
        "together": options.together,
    }
    wanted = options.only.split(",") if options.only else [*PARTS]
    if unknown := sorted({*wanted} - {*PARTS}):
        parser().error(f"--only '{unknown[0]}' is no part. There are {', '.join(PARTS)}")
    trials = {part: [*range(numbers[part] if options.each is None else options.each)] for part in wanted}
    if options.trial is not None:
        trials = {wanted[0]: [options.trial]}
    sys.exit(run_campaign(trials, options.out, seed=options.seed, jobs=options.jobs))


def parser() -> argparse.ArgumentParser:
    """Its options."""
    found = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    found.add_argument("--kills", type=int, default=300, help="commands that get signals")
    found.add_argument("--damaged", type=int, default=300, help="damaged checkpoints, and as many HDF5 files")
    found.add_argument("--lists", type=int, default=200, help="fuzzed lists")
    found.add_argument("--ranks", type=int, default=78, help="commands in 1 to 3 processes on 1 to 13 videos")
    found.add_argument("--together", type=int, default=70, help="two commands at once with one output")
    found.add_argument("--each", type=int, help="trials of every part, in place of the numbers above: 10 for a try")
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--only", default="", help="parts, separated by commas. Default: all")
    found.add_argument("--trial", type=int, help="of the one part of --only, this trial alone")
    found.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trials at a time")
    default = Path(tempfile.gettempdir()) / "vtdl-campaign"
    found.add_argument("--out", type=Path, default=default, help=f"folder, emptied first. Default: {default}")
    return found


if __name__ == "__main__":
    main()
