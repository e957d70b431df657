"""Extracts and evaluates lists of every length; run once, or as several processes at it, by tests/test_distributed.py.

Called as `python -m tests.every_length <folder> <list> <root> <pretrained> <finetuned>`; what comes out lies in <folder>.
"""

import sys
from pathlib import Path

from tests.toy import vtdl
from vtdl_cli import ranks

LENGTHS = (1, 2, 3, 4, 5, 6, 9, 13)
"""The ends of lists among up to three processes: of each remainder, with and without a broken video near the end."""


def extract_and_evaluate(folder: Path, videos: Path, root: str, pretrained: str, finetuned: str) -> None:
    """Every length of list, the last but one line of which is a broken video from three lines on.

    One video passes at a time and process, so that most lists end in a batch with fewer videos than processes.
    """
    for length in LENGTHS:
        listing = str(videos / f"{length}.txt")
        given = ["--list", listing, "--root", root, "--device", "cpu", "--workers", "0", "--quiet", "--clips", "2"]
        for command, weights, out in (
            ("extract", pretrained, folder / f"{length}.h5"),
            ("evaluate", finetuned, folder / str(length)),
        ):
            alone = ["--set", f"{command}.batch_clips=2"]
            result = vtdl(command, "--weights", weights, "--out", str(out), *given, *alone)
            assert result.exit_code == 0, (length, result.output)


if __name__ == "__main__":
    leave = ranks.destroy_process_group
    ranks.destroy_process_group = lambda: None  # one meeting for all commands
    extract_and_evaluate(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    leave()
