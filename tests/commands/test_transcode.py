"""`vtdl extract-frames` and `vtdl compress`: their outputs can be trained on, and show the same as the videos."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.odd_videos import GOP, disc_extent, number_frame, write_cut, write_disc
from tests.odd_videos import NUM_FRAMES as NUM_NUMBERED
from tests.toy import (
    CLASSES,
    NUM_FRAMES,
    NUM_TRAIN,
    Toy,
    colour_video,
    files_in,
    read_list,
    refuse,
    succeed,
    vtdl,
    write_video,
)
from vtdl_cli.data.video import transcoding
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.resizing import resize_shown
from vtdl_cli.data.video.timeline import Interval
from vtdl_cli.data.video.whole_video import encode_video
from vtdl_cli.engine.lists import transcode

COMMANDS = ("extract-frames", "compress")
FORM = {"extract-frames": "pictures", "compress": "compressed"}  # as in the folders of earlier versions
TARGET = {"extract-frames": "blue/blue_0", "compress": "blue/blue_0.mp4"}


def line(toy: Toy, command: str, out: Path, *more: str) -> list[str]:
    given = ["--root", str(toy.root), "--out", str(out), "--workers", "0"]
    return [command, str(toy.train_list), *given, *more]


@pytest.mark.parametrize(("command", "size"), [("extract-frames", (27, 37)), ("compress", (26, 36))])
def test_written__shows_the_videos_smaller(toy: Toy, tmp_path: Path, command: str, size: tuple[int, int]) -> None:
    """Oracle: the video itself, decoded and resized as training does it; 50x36 to 37x27, of which x264 keeps 36x26."""
    result = json.loads(succeed(*line(toy, command, tmp_path, "--short-side", "27", "--json")).stdout)
    assert (result["videos"], result["frames"], result["skipped"]) == (NUM_TRAIN, NUM_TRAIN * NUM_FRAMES, [])
    for decoder in ("decord", "pyav"):
        with (
            open_video(toy.root / "blue/blue_0.mp4") as before,
            open_video(tmp_path / TARGET[command], decoder) as after,
        ):
            assert after.num_frames == NUM_FRAMES
            ours, theirs = after.read(range(NUM_FRAMES)), resize_shown(before.read(range(NUM_FRAMES)), Fraction(1), 27)
        assert ours.shape[1:3] == size
        assert np.abs(ours.astype(int) - theirs[:, : size[0], : size[1]]).mean() < 8


@pytest.mark.parametrize("command", COMMANDS)
def test_written__is_what_is_shown(tmp_path: Path, command: str) -> None:
    """Oracle: a disc that is round, and the numbers of the frames that a cut leaves; any decoder reads the results."""
    (tmp_path / "videos").mkdir()
    write_disc(tmp_path / "videos/disc.mp4", "64/45", rotation=90)
    write_cut(tmp_path / "videos/cut.mkv")
    succeed(command, str(tmp_path / "videos"), "--out", str(tmp_path / "out"), "--workers", "0")
    suffix = "" if command == "extract-frames" else ".mp4"
    with open_video(tmp_path / "out" / f"disc{suffix}", "decord") as disc:
        (frame,) = disc.read([1])
    assert frame.shape[:2] == (137 // 2 * 2 if suffix else 137, 64)
    assert disc_extent(frame) == pytest.approx((40, 40), abs=2)
    with open_video(tmp_path / "out" / f"cut{suffix}", "decord") as cut:
        assert cut.num_frames == NUM_NUMBERED - GOP
        (frame,) = cut.read([0])
    assert abs(frame.astype(int) - number_frame(GOP, 64)).mean() < 7


@pytest.mark.parametrize("command", COMMANDS)
def test_written__can_be_trained_on(toy: Toy, tmp_path: Path, command: str) -> None:
    succeed(*line(toy, command, tmp_path / "small"))
    listing = tmp_path / "small" / "train.txt"
    videos = read_list(listing)
    assert (videos.columns, videos.classes, set(videos.frames)) == ("path class frames", list(CLASSES), {NUM_FRAMES})
    given = ("--train-list", str(listing), "--root", str(tmp_path / "small"), "--set", "pretrain.epochs=1")
    succeed(*toy.pretrain(tmp_path / "run", *given))


def test_compress__has_a_keyframe_every_so_many_frames(toy: Toy, tmp_path: Path) -> None:
    succeed(*line(toy, "compress", tmp_path, "--gop", "4"))
    with av.open(str(tmp_path / TARGET["compress"])) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [index % 4 == 0 for index in range(NUM_FRAMES)]


def test_written__growth_is_said(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the sizes of the files; 24 pictures of a tiny video are larger than it."""
    best = ("--quality", "95")
    told = succeed(*line(toy, "extract-frames", tmp_path / "frames", *best)).stdout
    before = sum(path.stat().st_size for path in toy.root.rglob("*_[0-3].mp4"))
    after = sum(path.stat().st_size for path in (tmp_path / "frames").rglob("*.jpg"))
    [(name, percent)] = re.findall(r"(\w+_percent)\D*([\d.]+)", told)
    assert name == "grown_percent"
    assert float(percent) == pytest.approx(100 * (after / before - 1), rel=1e-3)
    result = json.loads(succeed(*line(toy, "extract-frames", tmp_path / "again", "--json", *best)).stdout)
    assert result["saved_percent"] == pytest.approx(100 * (1 - after / before), abs=0.1)


@pytest.mark.slow
def test_compress__saves_space_on_real_clips(data_dir: Path, tmp_path: Path) -> None:
    names = [path.relative_to(data_dir).as_posix() for path in sorted((data_dir / "UCF-101/BenchPress").glob("*.avi"))]
    (tmp_path / "list.txt").write_text("".join(f"{name} 0 1\n" for name in names))
    given = ["--list-columns", "path class frames", "--root", str(data_dir), "--out", str(tmp_path / "small")]
    result = json.loads(succeed("compress", str(tmp_path / "list.txt"), *given, "--short-side", "128", "--json").stdout)
    on_disk = sum((data_dir / name).stat().st_size for name in names)
    assert result["megabytes_before"] == round(on_disk / 1e6, 2)
    assert result["saved_percent"] > 30
    assert result["saved_percent"] == pytest.approx(
        100 * (1 - result["megabytes_after"] / result["megabytes_before"]), abs=2
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_second_run__resumes_or_is_refused(toy: Toy, tmp_path: Path, command: str) -> None:
    succeed(*line(toy, command, tmp_path))
    refuse(*line(toy, command, tmp_path), code=2, says=("is in use. Use --resume",))
    assert json.loads((tmp_path / "form.json").read_text())["form"] == FORM[command]
    lost = tmp_path / TARGET[command]
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in files_in(tmp_path) if "_" in name}
    result = json.loads(succeed(*line(toy, command, tmp_path, "--resume", "--json")).stdout)
    assert (result["written"], result["videos"], result["frames"]) == (1, NUM_TRAIN, NUM_TRAIN * NUM_FRAMES)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    refuse(*line(toy, command, tmp_path, "--resume", "--short-side", "32"), code=2, says=("short_side 256",))


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_videos__are_skipped_whole(data_dir: Path, toy: Toy, tmp_path: Path, command: str) -> None:
    """A clip that is damaged in its middle leaves nothing behind, an absent one neither."""
    content = bytearray((data_dir / "UCF-101/BenchPress/v_BenchPress_g01_c02.avi").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    (tmp_path / "damaged.avi").write_bytes(content)
    shutil.copy(toy.root / "red" / "red_0.mp4", tmp_path / "good.mp4")
    (tmp_path / "list.txt").write_text("damaged.avi 0 100\ngood.mp4 1 24\ngone.avi 0 10\n")
    out = tmp_path / "out"
    result = succeed(command, str(tmp_path / "list.txt"), "--out", str(out), "--workers", "0", "--json")
    assert [bad["path"] for bad in json.loads(result.stdout)["skipped"]] == ["damaged.avi", "gone.avi"]
    assert result.stderr.count("warning: skipped video ") == 2
    assert {name.split("/")[0] for name in files_in(out)} <= {"good", "good.mp4", "list.txt", "form.json"}
    assert (out / "list.txt").read_text().split()[1:] == ["1", "24"]


@pytest.mark.parametrize("command", COMMANDS)
def test_names__that_lead_out(toy: Toy, tmp_path: Path, command: str) -> None:
    shutil.copy(toy.root / "red" / "red_0.mp4", tmp_path / "a.mp4")
    (tmp_path / "list.txt").write_text("../b.mp4 0 24\na.mp4 1 24\n")
    refuse(command, str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), code=1, says=("leads out of",))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_names__that_differ_in_their_suffixes_alone_keep_them(toy: Toy, tmp_path: Path, command: str) -> None:
    """Oracle: by hand. The three would all be a; b is alone, and loses its suffix; what is written can be extracted."""
    names = ("a.mp4", "a.mp4.mp4", "a.avi", "b.mp4")
    for number, name in enumerate(names):
        shutil.copy(toy.root / f"red/red_{number}.mp4", tmp_path / name)
    (tmp_path / "list.txt").write_text("".join(f"{name} {label} 24\n" for label, name in enumerate([*names, "a.avi"])))
    out = tmp_path / "out"
    succeed(command, str(tmp_path / "list.txt"), "--out", str(out), "--workers", "0")
    end = ".mp4" if command == "compress" else ""
    written = [line.split()[0] for line in (out / "list.txt").read_text().splitlines()]
    assert written == [f"a.mp4{end}", f"a.mp4.mp4{end}", f"a.avi{end}", f"b{end}", f"a.avi{end}"]
    report = json.loads(vtdl("lists", "check", str(out / "list.txt"), "--open", "--workers", "0", "--json").stdout)
    assert (report["present"], report["missing"], report["unreadable"], report["other_frames"]) == (5, [], [], [])
    succeed(command, str(tmp_path / "list.txt"), "--out", str(out), "--workers", "0", "--resume")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["good.mp4", "trailing .mp4"],
            "'trailing .mp4' would be 'trailing ', which no list can hold: its name begins or",
        ),
        (["a/good.mp4", "a.mp4"], "'a.mp4' would be 'a', the folder of other videos. Rename it"),
        (["b.mp4", "b/a/good.mp4"], "'b.mp4' would be 'b', the folder of other videos. Rename it"),
    ],
)
def test_names__whose_folders_cannot_be_are_refused_first(
    toy: Toy, tmp_path: Path, names: list[str], says: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(toy.root / "red/red_0.mp4", tmp_path / name)
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    given = ["--list-columns", "path", "--out", str(tmp_path / "out"), "--workers", "0"]
    refuse("extract-frames", str(tmp_path / "list.txt"), *given, code=1, says=(says,))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_names__that_consist_of_a_suffix_keep_it(toy: Toy, tmp_path: Path, command: str) -> None:
    """Else one would be written as the whole folder."""
    for name in (".mp4", "red_0.mp4"):
        shutil.copy(toy.root / "red/red_0.mp4", tmp_path / name)
    (tmp_path / "list.txt").write_text(".mp4 0 24\nred_0.mp4 0 24\n")
    succeed(command, str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--workers", "0")
    end = ".mp4" if command == "compress" else ""
    assert (tmp_path / "out/list.txt").read_text() == f".mp4{end} 0 24\nred_0{end} 0 24\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["table.csv", "names.json", "lines.lst", "bare"])
def test_list__of_any_format_gives_one_of_lines(toy: Toy, tmp_path: Path, command: str, name: str) -> None:
    """Oracle: the same list as a table, as JSON and as lines; a comma in a name would be a column of CSV."""
    (tmp_path / "a, b").mkdir()
    shutil.copy(toy.root / "red/red_0.mp4", tmp_path / "a, b/c,d.mp4")
    told = {
        "table.csv": 'path,label\n"a, b/c,d.mp4",red\n',
        "names.json": json.dumps([{"vid_name": "a, b/c,d.mp4", "label": 0}]),
    }
    (tmp_path / name).write_text(told.get(name, "a, b/c,d.mp4 0 24\n"))
    out = tmp_path / "out"
    given = [command, str(tmp_path / name), "--root", str(tmp_path), "--out", str(out), "--workers", "0", "--json"]
    written = Path(json.loads(succeed(*given).stdout)["list"])
    target = "a, b/c,d" + (".mp4" if command == "compress" else "")
    assert (written, written.read_text()) == (out / f"{Path(name).stem}.txt", f"{target} 0 {NUM_FRAMES}\n")
    assert read_list(written).name(0) == target
    assert json.loads(succeed(*given, "--resume").stdout)["written"] == 0


def test_list__of_another_kind_with_the_same_name_is_another(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\nred/red_0.mp4\n")
    (tmp_path / "list.txt").write_text("red/red_1.mp4\n")
    given = ["--root", str(toy.root), "--out", str(tmp_path / "out"), "--workers", "0", "--resume"]
    succeed("compress", str(tmp_path / "list.csv"), *given)
    says = (f"was begun with another list 'list.txt' than '{tmp_path / 'list.txt'}' is now",)
    refuse("compress", str(tmp_path / "list.txt"), *given, code=2, says=says)


@pytest.mark.parametrize("command", COMMANDS)
def test_originals__are_never_written_over(toy: Toy, tmp_path: Path, command: str) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(toy.root / "red" / "red_0.mp4", tmp_path / "videos" / "a.mp4")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text("a.mp4 0 24\n")
    given = [command, str(tmp_path / "lists" / "list.txt"), "--root", str(tmp_path / "videos"), "--overwrite"]
    before = (tmp_path / "videos" / "a.mp4").read_bytes()
    for out in ("videos", "lists"):
        refuse(*given, "--out", str(tmp_path / out), code=2, says=("itself, which would be replaced",))
    assert (tmp_path / "videos" / "a.mp4").read_bytes() == before
    assert files_in(tmp_path) == {"videos/a.mp4", "lists/list.txt"}


@pytest.mark.parametrize("command", COMMANDS)
def test_overwrite__stopped_leaves_nothing_of_the_old_run(
    toy: Toy, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the times of all videos, after a first one was written anew, the run stopped, and resumed."""
    given = line(toy, command, tmp_path)
    succeed(*given)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files_in(tmp_path) if "_" in name}
    write = transcode._write
    left = [1]

    def write_once(writer: transcode.VideoWriter, job: transcode.Job) -> int | str:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return write(writer, job)

    with monkeypatch.context() as patch:
        patch.setattr(transcode, "_write", write_once)
        assert vtdl(*given, "--overwrite").exit_code == 1
    succeed(*given, "--resume")
    after = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    assert [name for name in before if after[name] <= before[name]] == []


@pytest.mark.parametrize("more", [(), ("--resume",), ("--overwrite",)])
@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("extract-frames", "blue/blue_0/notes.txt"),
        ("extract-frames", "blue/blue_0/img_00001.jpg"),
        ("compress", "blue/blue_0.mp4"),
        ("compress", "train.txt"),
    ],
)
def test_files_of_the_user__are_no_earlier_run(
    toy: Toy, tmp_path: Path, command: str, file: str, more: tuple[str, ...]
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    found = tmp_path / (TARGET[command] if command == "extract-frames" else file)
    says = f"output folder '{tmp_path}' holds '{found}', which no earlier run has written. Move it, or choose another"
    refuse(*line(toy, command, tmp_path, *more), code=2, says=(says,))
    assert contents(tmp_path) == {file: b"mine"}


@pytest.mark.parametrize("command", COMMANDS)
def test_files_of_the_user__among_those_of_an_earlier_run(toy: Toy, tmp_path: Path, command: str) -> None:
    """A video of another list, that list, and notes in a folder of images."""
    succeed(*line(toy, command, tmp_path))
    listed = toy.val_list.read_text().split()[0]
    target = tmp_path / listed.removesuffix("" if command == "compress" else ".mp4")
    mine = target if command == "compress" else target / "notes.txt"
    for file, found in ((mine, target), (tmp_path / "val.txt", tmp_path / "val.txt")):
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
        before = contents(tmp_path)
        for more in ("--resume", "--overwrite"):
            given = [command, str(toy.val_list), "--root", str(toy.root), "--out", str(tmp_path), more]
            refuse(*given, code=2, says=(f"holds '{found}', which no earlier run has written. Move it",))
        assert contents(tmp_path) == before
        file.unlink()
        if file.parent == target:
            target.rmdir()


def test_files_of_the_user__in_place_of_an_unreadable_video(toy: Toy, tmp_path: Path) -> None:
    shutil.copy(toy.root / "red/red_0.mp4", tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text("good.mp4 0 24\nbad.mp4 0 24\n")
    given = ["compress", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--workers", "0"]
    succeed(*given)
    (tmp_path / "out/bad.mp4").write_text("mine")
    for more in ("--resume", "--overwrite"):
        says = f"holds '{tmp_path / 'out/bad.mp4'}', which no earlier run has written. Move it"
        refuse(*given, more, code=2, says=(says,))
    assert (tmp_path / "out/bad.mp4").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "img_00001.png", "img_1.jpg", "more/img_00001.jpg"])
def test_files_of_the_user__in_a_folder_of_images_are_not_replaced(toy: Toy, tmp_path: Path, name: str) -> None:
    succeed(*line(toy, "extract-frames", tmp_path))
    mine = tmp_path / "blue/blue_0" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    before = contents(tmp_path)
    found = tmp_path / "blue/blue_0" / name.split("/")[0]
    says = f"holds '{found}', which no earlier run has written. Move it, or choose another --out"
    refuse(*line(toy, "extract-frames", tmp_path, "--overwrite"), code=2, says=(says,))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_links_of_the_user__are_not_replaced(toy: Toy, tmp_path: Path, command: str) -> None:
    out, target = tmp_path / "out", tmp_path / "out" / TARGET[command]
    succeed(*line(toy, command, out))
    target.rename(tmp_path / "moved")
    target.symlink_to(tmp_path / "moved")
    says = f"holds '{target}', which no earlier run has written. Move it, or choose another --out"
    refuse(*line(toy, command, out, "--overwrite"), code=2, says=(says,))
    assert target.is_symlink()
    assert json.loads(succeed(*line(toy, command, out, "--resume", "--json")).stdout)["written"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_overwrite__killed_while_it_removes_leaves_no_part(
    toy: Toy, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the run that was not killed; the first image of a folder is gone, the others are still there."""
    given = line(toy, command, tmp_path)
    succeed(*given)
    before = contents(tmp_path)

    def remove_one(folder: Path, *_: object, **__: object) -> None:
        if folder.exists():
            next(folder.iterdir()).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_one)
        assert vtdl(*given, "--overwrite").exit_code == (1 if command == "extract-frames" else 0)
    succeed(*given, "--resume")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_changed_video__is_written_anew(toy: Toy, tmp_path: Path, command: str) -> None:
    """Oracle: the files of the other video. By its size, by its time alone; once more it is finished."""
    root, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(toy.root, root)
    given = [command, str(toy.train_list), "--root", str(root), "--out", str(out), "--workers", "0", "--json"]
    succeed(*given)
    kept = {name: (out / name).stat().st_mtime_ns for name in files_in(out) if "_" in name and "blue_0" not in name}
    video = root / "blue/blue_0.mp4"
    shutil.copy(toy.root / "red/red_0.mp4", video)
    says = f"1 video has changed since it was written, and is written anew: '{video}'"
    result = succeed(*given, "--resume")
    assert (json.loads(result.stdout)["written"], says in result.stderr) == (1, True)
    assert_same_video(out / TARGET[command], out / TARGET[command].replace("blue", "red"))
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
    assert json.loads(succeed(*given, "--resume").stdout)["written"] == 0
    for name in ("blue/blue_0.mp4", "red/red_0.mp4"):
        os.utime(root / name, ns=(0, 10**18))
    result = succeed(*given, "--resume")
    assert json.loads(result.stdout)["written"] == 2
    assert (
        f"2 videos have changed since they were written, and are written anew; the first is '{video}'" in result.stderr
    )


def assert_same_video(one: Path, other: Path) -> None:
    if one.is_dir():
        assert contents(one) == contents(other)
    else:
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("command", COMMANDS)
def test_changed_video__killed_is_resumed_to_the_new_one(toy: Toy, tmp_path: Path, command: str) -> None:
    """Oracle: a run that knew the new videos alone."""
    root = tmp_path / "videos"
    shutil.copytree(toy.root, root)
    given = [command, str(toy.train_list), "--root", str(root), "--workers", "0"]
    succeed(*given, "--out", str(tmp_path / "out"))
    for number in (0, 1, 2):
        shutil.copy(toy.root / f"red/red_{number}.mp4", root / f"blue/blue_{number}.mp4")
    kill_in_video(2, *given, "--out", str(tmp_path / "out"), "--resume")
    succeed(*given, "--out", str(tmp_path / "out"), "--resume")
    succeed(*given, "--out", str(tmp_path / "whole"))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("command", COMMANDS)
def test_changed_image__of_a_folder_is_seen(tmp_path: Path, command: str) -> None:
    (tmp_path / "videos/clip").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 20)).save(tmp_path / f"videos/clip/img_{number:05d}.png")
    (tmp_path / "list.txt").write_text("clip 0 3\n")
    given = [command, str(tmp_path / "list.txt"), "--root", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    succeed(*given, "--workers", "0")
    Image.new("RGB", (40, 20), "red").save(tmp_path / "videos/clip/img_00001.png")
    assert json.loads(succeed(*given, "--workers", "0", "--resume", "--json").stdout)["written"] == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_removed_video__stays_finished(toy: Toy, tmp_path: Path, command: str) -> None:
    """Oracle: the sizes that the first run told; a list may be resumed to have more videos, after the old are gone."""
    root, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(toy.root, root)
    given = [command, str(toy.train_list), "--root", str(root), "--out", str(out), "--workers", "0", "--json"]
    first = json.loads(succeed(*given).stdout)
    (root / "blue/blue_0.mp4").unlink()
    again = json.loads(succeed(*given, "--resume").stdout)
    assert (again["written"], again["videos"], again["skipped"]) == (0, NUM_TRAIN, [])
    assert (again["megabytes_before"], again["saved_percent"]) == (first["megabytes_before"], first["saved_percent"])


@pytest.mark.parametrize("command", COMMANDS)
def test_folder__of_an_earlier_version_is_resumed(toy: Toy, tmp_path: Path, command: str) -> None:
    """Which recorded no videos: what is there counts as written by it."""
    given = line(toy, command, tmp_path)
    succeed(*given)
    form = json.loads((tmp_path / "form.json").read_text())
    (tmp_path / "form.json").write_text(json.dumps({name: form[name] for name in form if name != "videos"}))
    assert json.loads(succeed(*given, "--resume", "--json").stdout)["written"] == 0
    assert json.loads((tmp_path / "form.json").read_text()) == form
    assert json.loads(succeed(*given, "--overwrite", "--json").stdout)["written"] == NUM_TRAIN


def test_form__of_a_run_that_wrote_nothing_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text("broken.mp4 0 24\n")
    given = ["compress", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert "no video of list" in vtdl(*given).stderr
    assert not (tmp_path / "out" / "form.json").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_video_listed_twice__is_written_once(toy: Toy, tmp_path: Path, command: str) -> None:
    (tmp_path / "list.txt").write_text("red/red_0.mp4 0 24\nred/red_0.mp4 0 24\n")
    given = [command, str(tmp_path / "list.txt"), "--root", str(toy.root), "--out", str(tmp_path / "out"), "--json"]
    result = json.loads(succeed(*given, "--workers", "2").stdout)
    assert (result["written"], result["videos"], result["frames"]) == (1, 2, 2 * NUM_FRAMES)


@pytest.mark.parametrize("command", COMMANDS)
def test_images_of_two_sizes__are_refused_not_scaled(tmp_path: Path, command: str) -> None:
    (tmp_path / "clip").mkdir()
    for number, size in enumerate([(40, 20), (40, 20), (20, 40)]):
        Image.new("RGB", size).save(tmp_path / "clip" / f"img_{number:05d}.png")
    (tmp_path / "list.txt").write_text("clip 0 3\n")
    result = vtdl(command, str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--workers", "0")
    assert result.exit_code == 1
    assert "its frames differ in size: 40x20 and 20x40" in result.stderr
    assert not (tmp_path / "out" / "clip").exists()


def test_classes__of_another_list_are_not_taken(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("one\ntwo\nthree\n")
    says = (
        f"classes of file '{tmp_path / 'classes.txt'}' are not those of list '{toy.train_list}': they lack 'blue' and 2"
    )
    refuse(*line(toy, "compress", tmp_path), code=2, says=(says,))
    target = ["--out", str(tmp_path / "list.txt")]
    refuse("lists", "convert", str(toy.train_list), *target, code=2, says=(says,))
    assert files_in(tmp_path) == {"classes.txt"}
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "list.txt").write_text(toy.train_list.read_text())
    unnamed = ("compress", str(tmp_path / "plain" / "list.txt"), "--root", str(toy.root), "--out", str(tmp_path))
    refuse(*unnamed, code=2, says=("has no class names, and would take those of",))


def kill_in_video(number: int, *arguments: str) -> None:
    """Run a command in a copy of this process, which is killed halfway through a video, counted from 1."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        return
    small_pictures, begun = transcoding._resized_frames, []

    def halfway(source: Path, short_side: int, interval: Interval | None = None) -> Iterator[np.ndarray]:
        begun.append(source)
        for count, picture in enumerate(small_pictures(source, short_side, interval)):
            if len(begun) == number and count == NUM_FRAMES // 2:
                os._exit(9)
            yield picture

    transcoding._resized_frames = halfway
    vtdl(*arguments)
    os._exit(0)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_in_a_video__resumes_to_the_same_files(toy: Toy, tmp_path: Path, command: str) -> None:
    """Oracle: the run that was not killed. In the first video and in the third: neither has a half under its name."""
    succeed(*line(toy, command, tmp_path / "whole"))
    for number, name in ((1, "blue_0"), (3, "blue_2")):
        kill_in_video(number, *line(toy, command, tmp_path / "out", "--resume"))
        assert not list((tmp_path / "out" / "blue").glob(f"{name}*"))
    assert len(list((tmp_path / "out" / "blue").glob("blue_*"))) == 2
    succeed(*line(toy, command, tmp_path / "out", "--resume"))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_in_the_first_video__resumes_as_it_began(toy: Toy, tmp_path: Path, command: str) -> None:
    """Neither in another form, nor for another list of the same name; a list of another name is welcome."""
    kill_in_video(1, *line(toy, command, tmp_path / "out"))
    other = ("--resume", "--short-side", "32")
    refuse(*line(toy, command, tmp_path / "out", *other), code=2, says=("holds videos of form ", "short_side 256"))
    (tmp_path / "lists").mkdir()
    for name in ("train.txt", "val.txt"):
        (tmp_path / "lists" / name).write_text("red/red_0.mp4 2 24\n")
    shutil.copy(toy.train_list.parent / "classes.txt", tmp_path / "lists")
    given = ["--root", str(toy.root), "--out", str(tmp_path / "out"), "--workers", "0", "--resume"]
    says = ("was begun with another list 'train.txt' than",)
    refuse(command, str(tmp_path / "lists" / "train.txt"), *given, code=2, says=says)
    assert {name for name in files_in(tmp_path / "out") if "/." not in name} == {"form.json"}
    succeed(command, str(tmp_path / "lists" / "val.txt"), *given)
    succeed(*line(toy, command, tmp_path / "out", "--resume"))


@pytest.mark.parametrize("content", ["", "[1]", '{"form": 3, "lists": 4}', '{"videos": {"a.mp4": 3}}', "{"])
def test_form__damaged_is_one_line(toy: Toy, tmp_path: Path, content: str) -> None:
    (tmp_path / "form.json").write_text(content)
    refuse(*line(toy, "compress", tmp_path, "--resume"), code=2, says=("form.json' is damaged",))


def test_compress__is_the_same_every_time(tmp_path: Path) -> None:
    """42x32, of which 3 in 40 files came out otherwise: whatever the processes, and as without the encoder's SIMD code.

    Oracle: x264 itself, without SIMD, whose results depend on frame sizes and the CPU.
    """
    noise = np.random.default_rng(0).normal(0, 20, (NUM_FRAMES, 32, 42, 3))
    picture = (colour_video(0, seed=1)[:, :32, :42] + noise).clip(0, 255).astype(np.uint8)
    write_video(tmp_path / "videos/0.mp4", picture)
    for number in range(1, 40):
        shutil.copy(tmp_path / "videos/0.mp4", tmp_path / f"videos/{number}.mp4")
    (tmp_path / "list.txt").write_text("".join(f"{number}.mp4 0 24\n" for number in range(40)))
    given = ["compress", str(tmp_path / "list.txt"), "--root", str(tmp_path / "videos")]
    for workers in ("0", "2"):
        succeed(*given, "--out", str(tmp_path / workers), "--workers", workers)
    found = {path.read_bytes() for workers in ("0", "2") for path in (tmp_path / workers).glob("*.mp4")}
    options = {"crf": "20", "g": "8", "keyint_min": "8", "sc_threshold": "0", "bf": "0", "preset": "fast"}
    pictures = transcoding._resized_frames(tmp_path / "videos/0.mp4", 256)
    encode_video(tmp_path / "plain.mp4", pictures, 25, "libx264", {**options, "x264-params": "asm=0"})
    assert found == {(tmp_path / "plain.mp4").read_bytes()}
