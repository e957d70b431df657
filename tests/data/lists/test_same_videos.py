"""Videos that two lists have in common."""

from pathlib import Path

import pytest

from tests.toy import read_list
from vtdl_cli.data.lists.same_videos import find_shared, fingerprints

LINES = ["run/a.avi 0 9", "run/b.avi 0 9", "walk/c.d.mp4 1 9"]


def marks(folder: Path, lines: list[str], root: str = ".") -> object:
    folder.mkdir(exist_ok=True)
    (folder / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    return fingerprints(read_list(folder / "list.txt", root=folder / root, columns="path class frames"))


@pytest.mark.parametrize(
    ("lines", "root", "expected"),
    [
        (LINES[::-1], ".", [True] * 3),  # another order
        ([*LINES, "walk/new.mp4 1 9"], "elsewhere", [True, True, True, False]),  # a copy of the data, and one more
        (LINES[:1], ".", [True]),  # a part
        (["./run/a.avi 1 5", "run/x/../b.avi 0 9"], ".", [True, True]),  # spelled otherwise, labelled otherwise
        (["run/a.mp4 0 9", "run/b 0 9", "walk/c.d 1 9"], ".", [True] * 3),  # compressed, or as frames
        (["run/c.avi 0 9", "walk/a.avi 0 9"], ".", [False, False]),  # names of other folders
        (["videos/run/a.avi 0 9"], "..", [False]),
    ],
)
def test_find_shared(tmp_path: Path, lines: list[str], root: str, expected: list[bool]) -> None:
    """Oracle: by hand."""
    theirs = marks(tmp_path / "a", LINES)
    assert find_shared(marks(tmp_path / "b", lines, root), theirs).tolist() == expected  # type: ignore[arg-type]


def test_find_shared__by_where_they_lie(tmp_path: Path) -> None:
    """One disk seen from two folders, and by whole paths."""
    theirs = marks(tmp_path / "videos", LINES)
    above = marks(tmp_path, [f"videos/{line}" for line in LINES])
    whole = marks(tmp_path / "c", [f"{tmp_path}/videos/{line}" for line in LINES])
    for ours in (above, whole):
        assert find_shared(ours, theirs).tolist() == [True] * 3  # type: ignore[arg-type]
