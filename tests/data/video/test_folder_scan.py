import os
from pathlib import Path

import pytest

from vtdl_cli.data.video.folder_scan import is_video_folder, scan_folder
from vtdl_cli.data.video.frame_folder import seem_frames
from vtdl_cli.errors import UsageError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_scan_folder__finds_video_files_and_folders_of_frames(tmp_path: Path) -> None:
    touch(tmp_path, "walk/b.AVI", "walk/a.mp4", "walk/c/img_00001.jpg", "walk/c/img_00002.jpg", "top.webm")
    touch(tmp_path, "run/day 1/x y/frame000007.PNG", "run/day 1/x y/frame000008.PNG")
    found = scan_folder(tmp_path)
    assert sorted(found.files) == ["top.webm", "walk/a.mp4", "walk/b.AVI"]
    assert found.frame_folders == ["run/day 1/x y", "walk/c"]
    assert found.videos == ["run/day 1/x y", "top.webm", "walk/a.mp4", "walk/b.AVI", "walk/c"]
    assert found.ignored == []


def test_scan_folder__names_what_it_ignores_by_its_outermost_folder(tmp_path: Path) -> None:
    touch(tmp_path, "readme.txt", "walk/a.mp4", "walk/a.txt", "walk/.b.mp4", "walk/thumbs/cover1.jpg", "notes/b/n.txt")
    touch(tmp_path, ".cache/c.mp4", "walk/.frames/img_1.jpg", "walk/c/1.png", "walk/c/2.png", "walk/c/.DS_Store")
    (tmp_path / "empty").mkdir()
    found = scan_folder(tmp_path)
    assert found.videos == ["walk/a.mp4", "walk/c"]
    expected = [".cache/", "empty/", "notes/", "readme.txt"]
    assert found.ignored == [*expected, "walk/.b.mp4", "walk/.frames/", "walk/a.txt", "walk/thumbs/"]


@pytest.mark.parametrize("name", ["00001.MTS", "a.m2ts", "a.ogv"])
def test_scan_folder__finds_what_cameras_and_wikis_write(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert scan_folder(tmp_path).files == [name]


@pytest.mark.parametrize(
    ("names", "are_frames"),
    [
        (["img_00001.jpg", "img_00002.jpg"], True),
        (["00007.png", "00009.png", "00010.png", "notes.txt"], True),  # a gap, which opening it reports
        ([f"clip_{n}.jpg" for n in range(8)] + ["poster_1.jpg"], True),  # a mixture, likewise
        (["flow_x_1.jpg", "flow_y_1.jpg", "flow_x_2.jpg", "flow_y_2.jpg", "img_1.jpg", "img_2.jpg"], True),
        (["flow_x_1.jpg", "flow_y_1.jpg", "flow_x_2.jpg", "flow_y_2.jpg"], True),
        ([], False),
        (["img_00001.jpg"], False),  # one image does not move
        (["cat.jpg", "dog.jpg"], False),
        (["cat1.jpg", "dog2.jpg", "cow3.jpg"], False),
        ([f"IMG_{n}.JPG" for n in (1, 4, 9, 16, 25)], False),
        (["DSC_0007.jpg", "DSC_0007.png"], False),
    ],
)
def test_seem_frames__are_numbered_one_by_one(names: list[str], are_frames: bool) -> None:
    assert seem_frames(names) == are_frames


def test_scan_folder__images_beside_videos_further_down_are_no_video(tmp_path: Path) -> None:
    """Before, the folder was one video and hid those below it."""
    touch(tmp_path, *(f"day/IMG_000{n}.jpg" for n in (1, 2, 3)), "day/cam/a.mp4")
    found = scan_folder(tmp_path)
    assert (found.videos, found.ignored) == (["day/cam/a.mp4"], [f"day/IMG_000{n}.jpg" for n in (1, 2, 3)])
    assert not is_video_folder(tmp_path / "day")


def test_scan_folder__frames_with_masks_below_are_one_video(tmp_path: Path) -> None:
    touch(tmp_path, "clip/1.jpg", "clip/2.jpg", "clip/masks/1.png", "clip/masks/2.png", "clip!/1.jpg", "clip!/2.jpg")
    found = scan_folder(tmp_path)
    assert (found.videos, found.ignored) == (["clip", "clip!"], ["clip/masks/"])
    assert is_video_folder(tmp_path / "clip")


def test_scan_folder__keeps_broken_links_for_the_decoder_to_report(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4")
    (tmp_path / "walk" / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    assert scan_folder(tmp_path).videos == ["walk/a.mp4", "walk/b.mp4"]


@pytest.mark.parametrize("flow", [False, True])
def test_scan_folder__links_in_a_circle_stop_nothing(tmp_path: Path, flow: bool) -> None:
    touch(tmp_path, "walk/a.mp4", *(f"run/b/flow_{xy}_{n}.jpg" for xy in "xy" for n in "12"))
    for name in ("circle", "walk/circle", "walk/circle.mp4", "run/circle"):
        (tmp_path / name).symlink_to(tmp_path / name)
    for name in ("walk/up", "run/b/up"):
        (tmp_path / name).symlink_to(tmp_path)
    found = scan_folder(tmp_path, flow=flow)
    assert found.videos == (["run/b"] if flow else ["run/b", "walk/a.mp4", "walk/circle.mp4"])  # opening the last tells
    assert {"circle", "run/circle", "walk/" if flow else "walk/up/"} <= set(found.ignored)


def test_scan_folder__the_other_direction_of_a_flow_is_not_ignored(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{xy}/clip/{n}.jpg" for xy in "xy" for n in range(3)), "x/readme.txt")
    found = scan_folder(tmp_path, flow=True)
    assert (found.videos, found.ignored) == (["x/clip"], ["x/readme.txt"])


@pytest.mark.parametrize("name", ["absent", "file"])
def test_scan_folder__refuses_what_is_no_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "file")
    with pytest.raises(UsageError, match="is not a folder"):
        scan_folder(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_scan_folder__names_a_folder_it_may_not_list(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4")
    (tmp_path / "walk").chmod(0)
    try:
        with pytest.raises(UsageError, match="walk' cannot be listed"):
            scan_folder(tmp_path)
    finally:
        (tmp_path / "walk").chmod(0o700)


@pytest.mark.parametrize(
    ("name", "number"), [("weizmann", 90), ("tennis7", 371), ("UCF-101", 13), ("hmdb51", 5), ("kinetics400", 2)]
)
def test_scan_folder__counts_real_folders(data_dir: Path, name: str, number: int) -> None:
    assert len(scan_folder(data_dir / name).videos) == number  # from the data's README
