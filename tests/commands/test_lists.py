"""`vtdl lists`: lists that are valid, moved, in another format or invalid, and their conversion."""

import json
import shlex
from pathlib import Path

import pytest

from tests.odd_videos import GOP, write_cut, write_numbered
from tests.odd_videos import NUM_FRAMES as NUM_NUMBERED
from tests.toy import CLASSES, NUM_FRAMES, NUM_TRAIN, Toy, read_list, refuse, succeed, vtdl


def rewrite(toy: Toy, target: Path, form: str) -> Path:
    """The toy's training list in another form, without its class names."""
    rows = (line.rsplit(None, 2) for line in toy.train_list.read_text().splitlines())
    target.write_text(
        "".join(form.format(path=path, label=label, frames=frames) + "\n" for path, label, frames in rows)
    )
    return target


def test_check__good_list(toy: Toy) -> None:
    line = ["lists", "check", str(toy.train_list), "--root", str(toy.root), "--open", "--workers", "0", "--json"]
    report = json.loads(succeed(*line).stdout)
    assert (report["columns"], report["videos"], report["present"]) == ("path class frames", NUM_TRAIN, NUM_TRAIN)
    assert (report["missing"], report["other_frames"], report["unreadable"], report["problems"]) == ([], [], [], [])
    assert report["classes"]["named"] == len(CLASSES)
    assert report["listed_frames"] == {"min": NUM_FRAMES, "median": NUM_FRAMES, "max": NUM_FRAMES}


def test_check__proposes_options_that_work(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the options themselves, given to the same command."""
    moved = rewrite(toy, tmp_path / "list.txt", "/old/place/{path} {frames} {label}")
    result = vtdl("lists", "check", str(moved), "--root", str(toy.root.parent))
    assert result.exit_code == 1
    assert (
        "12 of 12 videos are missing, starting with '/old/place/blue/blue_0.mp4': to find all 12, try " in result.stderr
    )
    options = shlex.split(result.stderr.split(", try ")[1])
    assert options == ["--strip-prefix", "/old/place", "--root", str(toy.root)]
    succeed("lists", "check", str(moved), *options)


def test_check__accepts_what_the_decoder_reads(tmp_path: Path) -> None:
    """Oracle: the frames that remain of a cut, by hand. decord reads the first two, and only `auto` all three."""
    write_cut(tmp_path / "cut.mkv")
    write_cut(tmp_path / "headless.mkv", offset=-4)
    write_numbered(tmp_path / "good.mkv", "libx264")
    counts = {"good.mkv": NUM_NUMBERED, "cut.mkv": NUM_NUMBERED - GOP, "headless.mkv": NUM_NUMBERED - GOP}
    (tmp_path / "list.txt").write_text("".join(f"{name} -1 {count}\n" for name, count in counts.items()))
    line = ["lists", "check", str(tmp_path / "list.txt"), "--open", "--workers", "0", "--json"]
    report = json.loads(succeed(*line).stdout)
    assert (report["unreadable"], report["other_frames"], report["problems"]) == ([], [], [])
    report = json.loads(vtdl(*line, "--decoder", "decord").stdout)
    assert [video["path"] for video in report["unreadable"]] == ["headless.mkv"]
    assert report["other_frames"] == []


@pytest.mark.parametrize(("listed", "given"), [("/old/deep/{}", "/old"), ("/{}", ""), ("/old/{}", "")])
def test_check__proposal_starts_from_the_list_as_it_is(toy: Toy, tmp_path: Path, listed: str, given: str) -> None:
    """Oracle: the options themselves, whatever had been stripped before."""
    moved = rewrite(toy, tmp_path / "list.txt", listed.format("{path}") + " {frames} {label}")
    first = ["--strip-prefix", given] if given else []
    result = vtdl("lists", "check", str(moved), "--root", str(toy.root), *first)
    succeed("lists", "check", str(moved), *shlex.split(result.stderr.split(", try ")[1]))


def test_check__counts_what_a_proposal_finds(toy: Toy, tmp_path: Path) -> None:
    """Oracle, by hand: on a disk without class folders, options strip one class of four videos, not the other two."""
    disk = tmp_path / "flat"
    disk.mkdir()
    for path in toy.root.rglob("*.mp4"):
        (disk / path.name).symlink_to(path)
    listed = rewrite(toy, tmp_path / "list.txt", "{path} {label}")
    check = ["lists", "check", str(listed), "--root", str(disk)]
    said = vtdl(*check).stderr
    assert "12 of 12 videos are missing, starting with 'blue/blue_0.mp4': to find 4 of 12, try --strip" in said
    options = shlex.split(said.split(", try ")[1])
    again = vtdl("lists", "check", str(listed), *options).stderr
    assert "8 of 12 videos are missing" in again
    assert "try" not in again
    assert "the disk has 'green_0.mp4' for 'green/green_0.mp4', and no options find more" in again


def test_check__proposal_keeps_the_videos_that_are_there(toy: Toy, tmp_path: Path) -> None:
    """Oracle, by hand: seven of twelve are there; other options would find the five others in their place."""
    there, moved = tmp_path / "videos", tmp_path / "videos" / "moved"
    names = [line.split()[0] for line in toy.train_list.read_text().splitlines()]
    for number, name in enumerate(names):
        path = (there if number < 7 else moved) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(toy.root / name)
    said = vtdl("lists", "check", str(toy.train_list), "--root", str(there)).stderr
    assert "5 of 12 videos are missing" in said
    assert "try" not in said
    assert "and no options find more" in said


def test_check__reports_names_that_no_disk_can_hold(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{'x' * 300}.avi 0 10\ny.avi 999999 12\n")
    result = vtdl("lists", "check", str(tmp_path / "list.txt"), "--json")
    report = json.loads(result.stdout)
    assert (len(report["missing"]), report["classes"]["highest"]) == (2, 999999)


def test_check__names_the_line_with_an_absurd_class(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x.avi 0 10\ny.avi 20230115123456 12\n")
    refuse("lists", "check", str(tmp_path / "list.txt"), code=1, says=("list.txt:2' has class '20230115123456'",))


def test_check__names_the_problems(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "good.mp4").symlink_to(toy.root / "red" / "red_0.mp4")
    (tmp_path / "list.txt").write_text("good.mp4 0 20\nbroken.mp4 2 24\ngood.mp4 0 20\ngone.mp4 2 24\n")
    result = vtdl("lists", "check", str(tmp_path / "list.txt"), "--open", "--workers", "0", "--json", "--quiet")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["other_frames"][0] == {"path": "good.mp4", "listed": 20, "counted": NUM_FRAMES}
    assert (report["missing"], report["repeated"], report["classes"]["without_videos"]) == (
        ["gone.mp4"],
        ["good.mp4"],
        1,
    )
    assert [bad["path"] for bad in report["unreadable"]] == ["broken.mp4"]
    errors = result.stderr.splitlines()
    assert len(errors) == 3
    assert all(line.startswith(f"error: list '{tmp_path / 'list.txt'}': ") for line in errors)


@pytest.mark.parametrize(
    ("name", "columns", "videos"),
    [
        ("hmdb51_flow_val_split_1.txt", "path frames class", 1530),
        ("hmdb51_rgb_train_split_1.txt", "path frames class", 3570),
        ("ssd_kinetics_video_vallist.txt", "path class", 19_761),
        ("ucf101_rgb_val_split_1.txt", "path frames class", 3783),
    ],
)
def test_check__published_lists_without_their_videos(
    data_dir: Path, tmp_path: Path, name: str, columns: str, videos: int
) -> None:
    """Oracle: the number of their lines, and the authors' orders of columns."""
    line = ["lists", "check", str(data_dir / "lists_published" / name), "--root", str(tmp_path), "--json"]
    result = vtdl(*line)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["columns"], report["videos"], len(report["missing"])) == (columns, videos, videos)
    assert result.stderr.count("error: ") == 1
    assert f"no video with such a name is below '{tmp_path}'. Name their folder, as in --root videos" in result.stderr


def test_check__disk_has_files_where_the_list_has_folders(data_dir: Path) -> None:
    published = data_dir / "lists_published" / "ucf101_rgb_val_split_1.txt"
    result = vtdl("lists", "check", str(published), "--root", str(data_dir / "UCF-101"))
    assert result.exit_code == 1
    assert ".avi' for 'v_" in result.stderr
    assert "Make lists of the videos on the disk: vtdl prepare-lists" in result.stderr


@pytest.mark.parametrize(("form", "counted"), [("/old/{path} {frames} {label}", 0), ("/old/{path} {label}", NUM_TRAIN)])
def test_convert__gives_the_canonical_list(toy: Toy, tmp_path: Path, form: str, counted: int) -> None:
    """Oracle: the list that it was made from."""
    foreign = rewrite(toy, tmp_path / "foreign.txt", form)
    options = ("--strip-prefix", "/old", "--root", str(toy.root), "--workers", "0", "--json")
    out = tmp_path / "lists" / "train.txt"
    result = json.loads(succeed("lists", "convert", str(foreign), "--out", str(out), *options).stdout)
    assert out.read_text() == toy.train_list.read_text()
    assert (result["videos"], result["counted"]) == (NUM_TRAIN, counted)
    refuse("lists", "convert", str(foreign), "--out", str(out), *options, code=2, says=("--overwrite",))


def test_convert__keeps_class_names(toy: Toy, tmp_path: Path) -> None:
    succeed("lists", "convert", str(toy.train_list), "--out", str(tmp_path / "list.txt"))
    assert (tmp_path / "classes.txt").read_text().split() == list(CLASSES)


def counted_from_one(toy: Toy, target: Path) -> Path:
    """The toy's training list as UCF101's own files are: class 0 is empty."""
    rows = (line.rsplit(None, 2) for line in toy.train_list.read_text().splitlines())
    target.write_text("".join(f"{path} {int(label) + 1}\n" for path, label, _ in rows))
    return target


def test_check__points_out_a_list_that_counts_from_one(toy: Toy, tmp_path: Path) -> None:
    listed = counted_from_one(toy, tmp_path / "list.txt")
    line = ["lists", "check", str(listed), "--root", str(toy.root)]
    result = succeed(*line, "--json")
    assert json.loads(result.stdout)["classes"]["seem_to_count_from_one"]
    says = f"list '{listed}' has no video of class 0, but some of each class from 1 to 3: if it counts classes from 1"
    assert f"warning: {says}" in result.stderr
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    rewrite_it = f"vtdl lists convert {listed} --root {toy.root} --from-one --out from_zero"
    refuse(*line, code=1, says=(f"If the list counts classes from 1: {rewrite_it}",))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("old/{path} {frames} {label}", ["--list-columns", "path frames class", "--strip-prefix", "old"]),
        ("old/{path},{label},{start},{end}", ["--strip-prefix", "old"]),
    ],
)
def test_check__what_counts_from_zero_runs_as_printed(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, form: str, options: list[str]
) -> None:
    """With the options of the list, and for intervals too. Oracle: the classes of the list that it was made from."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "of others"
    folder.mkdir()
    rows = [line.rsplit(None, 2) for line in toy.train_list.read_text().splitlines()]
    lines = [form.format(path=path, label=int(c) + 1, frames=n, start=0, end=0.5) for path, c, n in rows]
    is_table = "," in form
    listed = folder / f"list.{'csv' if is_table else 'txt'}"
    listed.write_text("\n".join([*(["path,label,start,end"] if is_table else []), *lines]) + "\n")
    if named:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    said = vtdl("lists", "check", str(listed), "--root", str(toy.root), *options).stderr
    succeed(*shlex.split(said[said.index("vtdl lists convert") :])[1:], "--workers", "0")
    written = read_list(tmp_path / "from_zero" / listed.name, root=toy.root)
    assert written.labels.tolist() == [int(label) for _, label, _ in rows]
    assert written.classes == (list(CLASSES) if named else None)


@pytest.mark.parametrize("named", [False, True])
def test_convert__counts_from_zero_what_counts_from_one(toy: Toy, tmp_path: Path, named: bool) -> None:
    """Oracle: the list that it was made from."""
    listed, out = counted_from_one(toy, tmp_path / "list.txt"), tmp_path / "lists" / "train.txt"
    if named:
        (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    succeed("lists", "convert", str(listed), "--from-one", "--root", str(toy.root), "--workers", "0", "--out", str(out))
    assert out.read_text() == toy.train_list.read_text()
    again = ("lists", "convert", str(toy.train_list), "--from-one", "--out", str(tmp_path / "twice.txt"))
    refuse(*again, code=1, says=("has class '0', but class counts from 1",))


def test_convert__frames_that_cannot_be_counted(toy: Toy, tmp_path: Path) -> None:
    foreign = rewrite(toy, tmp_path / "foreign.txt", "{path} {label}")
    line = ["lists", "convert", str(foreign), "--out", str(tmp_path / "out.txt"), "--quiet", "--workers", "0"]
    says = ("has no frame counts for 12 videos, and 12 of these cannot be opened; the first is 'blue/blue_0.mp4'",)
    refuse(*line, code=1, says=says)
    assert not (tmp_path / "out.txt").exists()


def test_convert__leaves_out_the_missing_videos_of_a_list_of_lines(toy: Toy, tmp_path: Path) -> None:
    """As those of a table. Oracle: the list that it was made from; a video that exists and is damaged is refused."""
    foreign = rewrite(toy, tmp_path / "foreign.txt", "{path} {label}")
    foreign.write_text("gone/1.mp4 0\n" + foreign.read_text() + "gone/2.mp4 1\n")
    line = ["lists", "convert", str(foreign), "--root", str(toy.root), "--workers", "0", "--json", "--overwrite"]
    line += ["--out", str(tmp_path / "out.txt")]
    result = succeed(*line)
    report = json.loads(result.stdout)
    assert (report["videos"], report["missing"], report["counted"]) == (NUM_TRAIN, 2, NUM_TRAIN)
    what = f"2 of the 14 videos were not found below '{toy.root}' and are left out; the first is 'gone/1.mp4'"
    assert f"warning: {what}" in result.stderr
    assert (tmp_path / "out.txt").read_text() == toy.train_list.read_text()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    foreign.write_text(f"{tmp_path / 'broken.mp4'} 0\n{foreign.read_text()}")
    refuse(*line, "--quiet", code=1, says=("has no frame counts for 13 videos, and 1 of these cannot be opened",))


def test_convert__official_list_of_ucf101(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: the clips of the test data that are in the list."""
    [listed] = data_dir.glob("splits/**/trainlist01.txt")
    lines = [line.split() for line in listed.read_text().splitlines()]
    root = data_dir / "UCF-101"
    there = [f"{path} {int(number) - 1}" for path, number in lines if (root / path).exists()]
    line = ["lists", "convert", str(listed), "--root", str(root), "--from-one", "--workers", "0", "--json"]
    report = json.loads(succeed(*line, "--out", str(tmp_path / "lists")).stdout)
    assert (report["videos"], report["missing"]) == (len(there), len(lines) - len(there))
    written = (tmp_path / "lists" / "trainlist01.txt").read_text().splitlines()
    assert [text.rpartition(" ")[0] for text in written] == there
