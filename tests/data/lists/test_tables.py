from pathlib import Path

import numpy as np
import pytest

from tests.toy import read_list
from vtdl_cli.data.lists.video_list import VideoList, parse_list
from vtdl_cli.errors import ListError


def make_table(folder: Path, text: str, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(videos: VideoList) -> list[tuple[str, int]]:
    return [(videos.name(index), int(videos.labels[index])) for index in range(len(videos))]


@pytest.mark.parametrize(
    ("text", "rows", "classes"),
    [
        ("path,label\na.mp4,walk\nb.mp4,run\n", [("a.mp4", 1), ("b.mp4", 0)], ["run", "walk"]),
        ("path,label\na.mp4,2\nb.mp4,0\n", [("a.mp4", 2), ("b.mp4", 0)], None),
        ("id;Klasse;label\r\na b.mp4;x;1\r\n\r\n# no row\r\nc;y;-1\r\n", [("a b.mp4", 1), ("c", -1)], None),
        ("path,label\na.mp4,١\n", [("a.mp4", 0)], ["١"]),  # a digit, but none that we read
        ("Video\tAction\nü.mp4\t\"kick, then 'fall'\"\n", [("ü.mp4", 0)], ["kick, then 'fall'"]),
        ('\ufeffpath,label\n"a, b.mp4","say ""hi"""\n', [("a, b.mp4", 0)], ['say "hi"']),
        ("path,label\na.mp4,\nb.mp4,\n", [("a.mp4", -1), ("b.mp4", -1)], None),
        ("path\na.mp4\nb.mp4\n", [("a.mp4", -1), ("b.mp4", -1)], None),
        ("path,label\na.mp4,walk\nb.mp4,-1\nc.mp4,\n", [("a.mp4", 0), ("b.mp4", -1), ("c.mp4", -1)], ["walk"]),
        ("path,label\na.mp4,walk\nb.mp4,NaN\nc.mp4,-1.0\n", [("a.mp4", 0), ("b.mp4", -1), ("c.mp4", -1)], ["walk"]),
        ("path,label\na.mp4,1.0\nb.mp4,\nc.mp4,nan\n", [("a.mp4", 1), ("b.mp4", -1), ("c.mp4", -1)], None),
        ("path,label,class\na,walk,0\nb,run,1\nc,,\n", [("a", 0), ("b", 1), ("c", -1)], ["walk", "run"]),
        (
            "label,class,path\nrun,1,a.mp4\nwalk,0,b.mp4\n,-1,c.mp4",
            [("a.mp4", 1), ("b.mp4", 0), ("c.mp4", -1)],
            ["walk", "run"],
        ),
    ],
)
def test_read_list__table(tmp_path: Path, text: str, rows: list[tuple[str, int]], classes: list[str] | None) -> None:
    videos = read_list(make_table(tmp_path, text))
    assert rows_of(videos) == rows
    assert videos.classes == classes
    assert videos.intervals is None


def test_read_list__intervals(tmp_path: Path) -> None:
    text = "path,label,start,end\na.mp4,0,1.5,2\na.mp4,1,00:01:02.50,1:00:00\nb.mp4,0,,\n"
    videos = read_list(make_table(tmp_path, text))
    assert [videos.interval(index) for index in range(3)] == [(1.5, 2.0), (62.5, 3600.0), None]
    assert videos.line(2) == 4
    assert read_list(make_table(tmp_path, "a.mp4 0\n", "list.txt")).interval(0) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,label\na.mp4,walk\nb.mp4,walk,x\n", "list.csv:3' has 3 cells, but the first line has 2"),
        ("path,start,end\na.mp4,0,x\n", "list.csv:2' has end 'x', which is not a time"),
        ("path,start,end\na.mp4,-1,3\n", "list.csv:2' has start '-1', which is not a time"),
        ("path,start,end\na.mp4,inf,nan\n", "list.csv:2' has start 'inf', which is not a time"),
        ("path,start,end\na.mp4,0,1\na.mp4,3,3\n", "list.csv:3' has start '3' and end '3': an interval starts before"),
        ("path,start,end\na.mp4,0,\n", "list.csv:2' has start '0' and end ''"),
        ("path,t_start\na.mp4,0\n", "list.csv' has a column 't_start' of intervals, but none of ends. Add 'end', or"),
        ("path,stop\na.mp4,0\n", "a column 'stop' of intervals, but none of starts. Add 'start', or remove it"),
        (
            "path,Start Frame,end_frame\na,0,9\n",
            "list.csv' has a column 'Start Frame', but intervals are read in seconds",
        ),
        ("path,label,last_frame\na,x,9\n", "seconds. Write 'start' and 'end', or remove it to use whole videos"),
        ("path,frames\na.mp4,many\n", "list.csv:2' has frames 'many'"),
        ("path,label\n", "names columns, but has no video"),
        ('path,label\n"a.mp4"x,walk\n', "list.csv:2' is not a row of a table"),
        ("path,label,class\na,walk,0\nb,run,0\n", "list.csv:3' has class 0 'run', but"),
        ("path,split\na,train\nb,test\nc,\n", "list.csv:4' has split '', which is not train, val or test. Correct"),
        ("path,set\na,fold 1\nb,Test\n", "list.csv:2' has set 'fold 1', which is not train, val or test. Correct"),
    ],
)
def test_read_list__refuses_table(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ListError) as caught:
        read_list(make_table(tmp_path, text))
    assert says in str(caught.value)


def test_parse_list__parts_of_a_split(tmp_path: Path) -> None:
    table = make_table(tmp_path, "path,split\na.mp4,train\nb.mp4,dev\nc.mp4,TEST\n")
    assert parse_list(table).sides == ["train", "val", "test"]
    assert parse_list(make_table(tmp_path, "path,split\na.mp4,fold 1\nb.mp4,\n")).sides is None


def test_read_list__table_with_classes_beside(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("walk\nrun\nrest\n")
    videos = read_list(make_table(tmp_path, "path,label\na.mp4,run\n"))
    assert (videos.labels.tolist(), videos.num_classes) == ([1], 3)
    with pytest.raises(ListError, match=r"list.csv:2' has class 'rum', which the classes.txt beside it does not name"):
        read_list(make_table(tmp_path, "path,label\na.mp4,rum\n"))


def test_read_list__240_000_rows(tmp_path: Path) -> None:
    """Oracle: the numbers that were written."""
    lines = (f"folder/{number}.mp4,class {number % 400},{number % 7},{number % 7 + 0.5}\n" for number in range(240_000))
    videos = read_list(make_table(tmp_path, "path,label,start,end\n" + "".join(lines)))
    order = sorted(range(400), key=str)
    np.testing.assert_array_equal(videos.labels[:800], [order.index(number % 400) for number in range(800)])
    assert videos.interval(239_999) == (239_999 % 7, 239_999 % 7 + 0.5)
