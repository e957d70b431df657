"""Videos that a list names by ids, of which several files have the name."""

from pathlib import Path

import pytest

from tests.toy import read_list
from vtdl_cli.errors import ListError


def make_list(folder: Path, text: str, present: list[str]) -> Path:
    for name in present:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


@pytest.mark.parametrize(
    ("text", "present", "names"),
    [
        ("id,label\n001,run\n001,walk\n", ["run/001.avi", "walk/001.avi"], ["run/001.avi", "walk/001.avi"]),
        ("id,label\n1,Tai chi\n", ["a/tai_chi/1.avi", "b/x/1.avi"], ["a/tai_chi/1.avi"]),
        ("id,label,class\n1,run,0\n2,walk,1\n", ["run/1.avi", "walk/1.avi", "2.avi"], ["run/1.avi", "2.avi"]),
        ("id\nx/001\n", ["a/x/001.avi", "x/001.avi", "y/001.avi"], ["x/001.avi"]),
        ("id\n001\n", ["x/001.avi", "x/001.mp4"], ["x/001.avi"]),  # copies of one video
        ("id\n001\n002\n", ["x/001.avi", "x/003.avi"], ["x/001.avi", "002"]),
    ],
)
def test_read_list__finds_the_file_of_an_id(tmp_path: Path, text: str, present: list[str], names: list[str]) -> None:
    videos = read_list(make_list(tmp_path, text, present))
    assert [videos.name(index) for index in range(len(videos))] == names


@pytest.mark.parametrize("label", ["0", "jump"])
def test_read_list__refuses_an_id_of_several_files(tmp_path: Path, label: str) -> None:
    text = f"id,label\n007,{label}\n001,{label}\n002,{label}\n"
    path = make_list(tmp_path, text, [f"{folder}/{name}.avi" for folder in "xy" for name in ("001", "002")])
    says = (
        rf"list.csv:3' names '001', but below '{tmp_path}' are 'x/001.avi' and 'y/001.avi'. Write the folder of each "
        r"such video \(2 of 3\), or give one of the folders as --root"
    )
    with pytest.raises(ListError, match=says):
        read_list(path)
    assert read_list(path, root=tmp_path / "y").name(1) == "001.avi"
