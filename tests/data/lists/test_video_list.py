import cProfile
import hashlib
import pickle
import pstats
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy import read_list
from vtdl_cli.data.lists.class_names import read_classes, write_classes
from vtdl_cli.data.lists.columns import LIST_COLUMNS
from vtdl_cli.data.lists.video_list import check_present, write_list
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.errors import ListError, UsageError, VtdlError

CLASS_FRAMES, FRAMES_CLASS, CLASS_ONLY, BARE = LIST_COLUMNS


def make_list(folder: Path, text: str | bytes, *, classes: str | None = None, present: tuple[str, ...] = ()) -> Path:
    for name in present:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if classes is not None:
        (folder / "classes.txt").write_text(classes)
    (folder / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "list.txt"


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a.avi 0\nb.avi 1\n", CLASS_ONLY, [("a.avi", 0, 0), ("b.avi", 1, 0)]),
        ("a.avi 0 31\nb.avi 1 30\n", CLASS_FRAMES, [("a.avi", 0, 31), ("b.avi", 1, 30)]),
        ("a.avi 31 0\nb.avi 30 1\n", FRAMES_CLASS, [("a.avi", 0, 31), ("b.avi", 1, 30)]),
        ("my own clip.avi 0\nb.avi 1", CLASS_ONLY, [("my own clip.avi", 0, 0), ("b.avi", 1, 0)]),
        ("my 2 clips.avi 31 0\nb  c.avi 30 1", FRAMES_CLASS, [("my 2 clips.avi", 0, 31), ("b  c.avi", 1, 30)]),
        ("take 7 1\nother 0\n", CLASS_ONLY, [("take 7", 1, 0), ("other", 0, 0)]),  # one reading fits every line
        ("7 1\n8 0\n", CLASS_ONLY, [("7", 1, 0), ("8", 0, 0)]),  # a line needs a path
        ("a.avi\t0\t31 \r\n\r\n  b.avi 1 30\r\n", CLASS_FRAMES, [("a.avi", 0, 31), ("b.avi", 1, 30)]),
        (b"\xef\xbb\xbfa.avi 0\n", CLASS_ONLY, [("a.avi", 0, 0)]),
        ("é\u2028ü\u00a0.avi 0\n", CLASS_ONLY, [("é\u2028ü\u00a0.avi", 0, 0)]),  # str.splitlines would break these
        ("a 20240101123456789012 0\n", CLASS_ONLY, [("a 20240101123456789012", 0, 0)]),  # no int64
        ("a.avi -1\nb.avi -1\n", CLASS_ONLY, [("a.avi", -1, 0), ("b.avi", -1, 0)]),
        ("a.avi 1\nb.avi -1\n", CLASS_ONLY, [("a.avi", 1, 0), ("b.avi", -1, 0)]),
        ("a.avi -1 31\nb.avi -1 9\n", CLASS_FRAMES, [("a.avi", -1, 31), ("b.avi", -1, 9)]),  # counts are not below 0
        ("a.avi 31 -1\nb.avi 30 -1\n", FRAMES_CLASS, [("a.avi", -1, 31), ("b.avi", -1, 30)]),
        ("a.avi\nb.avi\n", BARE, [("a.avi", -1, 0), ("b.avi", -1, 0)]),
        ("my own clip.avi\n b.avi \r\n3", BARE, [("my own clip.avi", -1, 0), ("b.avi", -1, 0), ("3", -1, 0)]),
    ],
)
def test_read_list__detects_columns(
    tmp_path: Path, text: str | bytes, columns: str, rows: list[tuple[str, int, int]]
) -> None:
    videos = read_list(make_list(tmp_path, text))
    assert videos.columns == columns
    assert [(videos.name(i), videos.labels[i], videos.frames[i]) for i in range(len(videos))] == rows


@pytest.mark.parametrize(
    ("text", "present", "columns"),
    [
        ("take 1 0\ntake 2 1\n", ("take 1",), CLASS_ONLY),
        ("take 1 0\ntake 2 1\n", ("take",), FRAMES_CLASS),
        ("take 1 0\ntake 2 1\n", ("take", "take 1"), FRAMES_CLASS),  # no evidence: the zero decides
        ("take 0 0\ntake 2 1\n", ("take 0",), CLASS_ONLY),
        ("take 1\ntake 2\n", ("take 1",), BARE),
        ("take 1\ntake 2\n", ("take",), CLASS_ONLY),
        ("take 1\ntake 2\n", (), CLASS_ONLY),  # no evidence: as before
        ("take 1\ntake two\n", ("take 1",), BARE),
        ("take 1 1\ntake 1 2\n", ("take 1 1",), BARE),
    ],
)
def test_read_list__files_on_disk_decide_between_orders(
    tmp_path: Path, text: str, present: tuple[str, ...], columns: str
) -> None:
    assert read_list(make_list(tmp_path, text, present=present)).columns == columns


@pytest.mark.parametrize(
    ("text", "columns"),
    [("a.avi 3 1\nb.avi 2 2\n", CLASS_FRAMES), ("a.avi 3\n", CLASS_ONLY), ("a 1 0\n", CLASS_FRAMES)],
)
def test_read_list__classes_beside_it_mean_canonical_order(tmp_path: Path, text: str, columns: str) -> None:
    videos = read_list(make_list(tmp_path, text, classes="p\nq\nr\ns\n", present=("a 1",)))
    assert (videos.columns, videos.classes, videos.num_classes) == (columns, ["p", "q", "r", "s"], 4)


@pytest.mark.parametrize("columns", LIST_COLUMNS)
def test_read_list__obeys_the_columns_named(tmp_path: Path, columns: str) -> None:
    videos = read_list(make_list(tmp_path, "a 5 7\n"), columns=columns)
    found = (videos.name(0), videos.labels[0], videos.frames[0])
    expected = {CLASS_FRAMES: ("a", 5, 7), FRAMES_CLASS: ("a", 7, 5), CLASS_ONLY: ("a 5", 7, 0), BARE: ("a 5 7", -1, 0)}
    assert found == expected[columns]


@pytest.mark.parametrize(
    ("text", "classes", "options", "words"),
    [
        ("a.avi 3 1\nb.avi 2 2\n", None, {}, ["list.txt'", "neither", "--list-columns 'path class frames'"]),
        ("a.avi 0 0\nb.avi 2 2\n", None, {}, ["list.txt'", "both", "--list-columns 'path frames class'"]),
        ("", None, {}, ["list.txt' is empty"]),
        ("\n \n", None, {}, ["list.txt' is empty"]),
        ("a.avi 0\n\nb.avi\n", None, {}, ["list.txt:3'", "'b.avi'", "no class", "1 of the 2 lines", "class -1"]),
        ("a.avi 0\nb.avi 1.5\n", None, {}, ["list.txt:2'", "'b.avi 1.5'"]),
        ("a.avi,0\n", None, {"columns": CLASS_ONLY}, ["list.txt:1'", "'a.avi,0'", "spaces"]),
        ("3\n", None, {"columns": CLASS_ONLY}, ["list.txt:1'", "'3'"]),
        ("a.avi 0\nb.avi -2\n", None, {}, ["list.txt:2'", "class '-2'", "counts from 0"]),
        ("a.avi -1 9\nb.avi 1 -1\n", None, {"columns": CLASS_FRAMES}, ["list.txt:2'", "frames '-1'"]),
        ("a.avi 0 9\nb.avi 1 -1\n", None, {}, ["list.txt'", "both contain a 0 or -1"]),
        ("a.avi 0 9\nb.avi 1\n", None, {"columns": CLASS_FRAMES}, ["list.txt:2'", "'path class frames'"]),
        (
            "a.avi 1 9\nb.avi 2 9\n",
            "p\nq\n",
            {},
            ["list.txt:2'", "class '2'", "classes.txt", "names 2, 0 to 1", "from 1", "--from-one"],
        ),
        ("a.avi 0 9\nb.avi 2 9\n", "p\nq\n", {}, ["list.txt:2'", "class '2'", "Correct either file"]),
        ("a.avi 1 9\nb.avi 0 9\n", "p\nq\n", {"first_class": 1}, ["list.txt:2'", "class '0'", "counts from 1"]),
        (b"a.avi 0\n\xff.avi 1\n", None, {}, ["list.txt:2'", "UTF-8"]),
        ("a.avi 0\n".encode("utf-16-le"), None, {}, ["list.txt:1'", "UTF-8"]),
    ],
)
def test_read_list__names_file_line_and_rule(
    tmp_path: Path, text: str | bytes, classes: str | None, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ListError) as caught:
        read_list(make_list(tmp_path, text, classes=classes), **options)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert str(tmp_path) in message


def test_read_list__counts_classes_from_zero_whatever_the_file_does(tmp_path: Path) -> None:
    """Oracle: by hand; classes of UCF101's own lists go from 1 to 101."""
    text = "a.avi 1\nb.avi 3\nc.avi 2\nd.avi -1\n"
    videos = read_list(make_list(tmp_path, text, classes="p\nq\nr\n"), first_class=1)
    assert videos.labels.tolist() == [0, 2, 1, -1]
    assert videos.label_set.names == ["p", "q", "r"]


def test_read_list__names_the_one_line_that_lost_a_column(tmp_path: Path) -> None:
    # Read as `path class`, the only order that fits every line, all the other paths would be wrong.
    path = make_list(tmp_path, "a.avi 0 31\nb.avi 1\nc.avi 1 30\n", present=("a.avi", "b.avi", "c.avi"))
    with pytest.raises(ListError, match=r"list\.txt:2' reads 'b\.avi 1', which is not a path and two integers"):
        read_list(path)


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_read_list__refuses_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListError, match=r"(No such file|Is a directory).*Name a list, a folder of videos, or a video"):
        read_list(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "class path"}, ["--list-columns 'class path'", "'path class frames'", "'path class'"]),
        ({"strip_prefix": "/elsewhere"}, ["--strip-prefix '/elsewhere'", "list.txt", "/data/x/a.avi"]),
        ({"strip_prefix": "/dat"}, ["--strip-prefix '/dat'", "whole folders"]),
    ],
)
def test_read_list__usage_errors_say_what_to_type(tmp_path: Path, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_list(make_list(tmp_path, "/data/x/a.avi 0\n"), **options)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("listed", "options", "path"),
    [
        ("c/a.avi", {}, "{folder}/c/a.avi"),
        ("c/a.avi", {"root": "videos"}, "videos/c/a.avi"),
        ("/data/c/a.avi", {"root": "videos"}, "/data/c/a.avi"),
        ("/data/c/a.avi", {"root": "videos", "strip_prefix": "/data"}, "videos/c/a.avi"),
        ("/data/c/a.avi", {"root": "videos", "strip_prefix": "/data/c/"}, "videos/a.avi"),
        ("/data/c/a.avi", {"root": "videos", "strip_prefix": "/"}, "videos/data/c/a.avi"),
        ("../c/a.avi", {"root": "videos"}, "videos/../c/a.avi"),
    ],
)
def test_read_list__joins_root_and_path(tmp_path: Path, listed: str, options: dict[str, Any], path: str) -> None:
    videos = read_list(make_list(tmp_path, f"{listed} 0\n"), **options)
    assert videos.path(0) == Path(path.format(folder=tmp_path))


def test_read_list__keeps_provenance_and_line_numbers(tmp_path: Path) -> None:
    path = make_list(tmp_path, "\r\na 0\r\n\r\nb 4\r\n")
    videos = read_list(path)
    assert (videos.line(0), videos.line(1), videos.line(-1)) == (2, 4, 4)
    assert videos.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (videos.source, videos.root, videos.classes, videos.num_classes) == (path, tmp_path, None, 5)
    assert videos.name(-1) == "b"
    with pytest.raises(IndexError):
        videos.name(2)


def test_read_list__survives_pickling_to_workers(tmp_path: Path) -> None:
    videos = pickle.loads(pickle.dumps(read_list(make_list(tmp_path, "a 0\nb 1\n"))))
    assert [videos.path(i) for i in range(2)] == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize(
    ("name", "columns", "num_videos", "num_classes"),
    [  # line counts by `wc -l`; classes by the data sets
        ("hmdb51_rgb_train_split_1.txt", FRAMES_CLASS, 3570, 51),
        ("hmdb51_rgb_val_split_1.txt", FRAMES_CLASS, 1530, 51),
        ("hmdb51_flow_val_split_1.txt", FRAMES_CLASS, 1530, 51),
        ("ucf101_rgb_train_split_1.txt", FRAMES_CLASS, 9537, 101),
        ("ucf101_rgb_val_split_1.txt", FRAMES_CLASS, 3783, 101),
        ("ssd_kinetics_video_vallist.txt", CLASS_ONLY, 19761, 400),
    ],
)
def test_read_list__reads_what_the_authors_published(
    data_dir: Path, name: str, columns: str, num_videos: int, num_classes: int
) -> None:
    videos = read_list(data_dir / "lists_published" / name)
    assert (videos.columns, len(videos), videos.num_classes) == (columns, num_videos, num_classes)
    # Oracle: awk on the same file, `{print $1}` of the last line.
    last = (data_dir / "lists_published" / name).read_text().splitlines()[-1].split()
    assert videos.name(-1) == last[0]
    assert videos.labels[-1] == int(last[-1])


def test_read_list__loads_kinetics_fast_and_compactly(tmp_path: Path) -> None:
    """A list of 240,000 lines takes a second by 13 calls a line, and 200 MB; here a twelfth of it does."""
    number = 20_000
    lines = (f"train_256/some class/{i:011d}_000042_000052.mp4 {i % 400} {1 + i % 300}\n" for i in range(number))
    path = make_list(tmp_path, "".join(lines))
    with cProfile.Profile() as profile:
        videos = read_list(path)
    assert pstats.Stats(profile).total_calls < 20 * number  # type: ignore[attr-defined]
    assert len(pickle.dumps(videos)) < 1.5 * path.stat().st_size
    tracemalloc.start()
    try:
        read_list(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6 / 240_000 * number
    finally:
        tracemalloc.stop()


def test_check_present__one_existing_video_is_enough(tmp_path: Path) -> None:
    check_present(read_list(make_list(tmp_path, "a 0\nb 1\n", present=("b",))))


def test_check_present__looks_for_no_more_than_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = read_list(make_list(tmp_path, "".join(f"v{i}.avi 0\n" for i in range(50)), present=("v20.avi",)))
    touched: list[Path] = []

    def note(path: Path) -> bool:
        touched.append(path)
        return False

    monkeypatch.setattr(Path, "exists", note)
    with pytest.raises(ListError) as caught:
        check_present(videos)
    assert touched == [tmp_path / f"v{i}.avi" for i in range(20)]
    words = [f"'{tmp_path / 'v0.avi'}'", "first 20", "--root", "--strip-prefix", "'path class'"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_check_present__an_impossible_name_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="--root"):
        check_present(read_list(make_list(tmp_path, f"{'x' * 5000} 0\n")))


def test_write_list__reads_back(tmp_path: Path) -> None:
    rows = [("a b/1 2.avi", 0, 12), ("a b/3", 1, 7), ("é.avi", 1, 1)]
    write_classes(tmp_path / "classes.txt", ["a b", "2 c"])
    write_list(tmp_path / "list.txt", rows)
    assert (tmp_path / "list.txt").read_bytes() == "a b/1 2.avi 0 12\na b/3 1 7\né.avi 1 1\n".encode()
    videos = read_list(tmp_path / "list.txt")
    assert [(videos.name(i), videos.labels[i], videos.frames[i]) for i in range(3)] == rows
    assert videos.classes == ["a b", "2 c"]
    assert videos.labels.dtype == videos.frames.dtype == np.int64


@pytest.mark.parametrize("name", ["#1.avi", "\ufeffa.avi"])
def test_write_list__a_name_that_starts_like_a_comment_or_a_file_reads_back(tmp_path: Path, name: str) -> None:
    """Oracle: the path is that of the same file; a list may begin with a byte order mark, which is none of its name."""
    write_list(tmp_path / "list.txt", [(name, 0, 1)])
    assert read_list(tmp_path / "list.txt").path(0) == tmp_path / name


@pytest.mark.parametrize("name", ["clip, part 1.avi", "video;1.avi", "id\t2.avi"])
def test_write_list__a_name_that_starts_like_a_column_reads_back(tmp_path: Path, name: str) -> None:
    write_list(tmp_path / "list.txt", [(name, 0, 12), ("other.avi", -1, 7)])
    (tmp_path / "list.txt").write_text(f"# a comment\n\n{(tmp_path / 'list.txt').read_text()}")
    videos = read_list(tmp_path / "list.txt")
    assert (videos.columns, videos.name(0), videos.line(0), len(videos)) == (CLASS_FRAMES, name, 3, 2)


@pytest.mark.parametrize("name", ["a\nb.avi", "a ", " a", "", "a\rb", "\udce9.avi"])
def test_write__refuses_names_that_would_not_read_back(tmp_path: Path, name: str) -> None:
    assert unlistable(name)
    with pytest.raises(ListError, match="Rename it"):
        write_list(tmp_path / "list.txt", [(name, 0, 1)])
    with pytest.raises(ListError, match="Rename it"):
        write_classes(tmp_path / "classes.txt", [name])


def test_read_classes__accepts_byte_order_marks_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfwave \r\nbrush hair\r\n\r\n")
    assert read_classes(tmp_path / "classes.txt") == ["wave", "brush hair"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is empty"),
        ("a\n\nb\n", r"classes\.txt:2' is blank"),
        ("a\nb\na\n", r"classes\.txt:3' repeats 'a' of line 1"),
    ],
)
def test_read_classes__names_the_broken_rule(tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(VtdlError, match=rule):
        read_classes(tmp_path / "classes.txt")
