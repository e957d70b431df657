"""Official splits, held to the lists that the method's authors published and to the data sets' own numbers."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from vtdl_cli.data.lists.official import (
    OFFICIAL,
    OfficialSplit,
    count_by_class,
    locate,
    read_hmdb51,
    read_kinetics,
    read_ucf101,
)
from vtdl_cli.errors import UsageError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def stems(split: OfficialSplit, side: str) -> dict[str, int]:
    """Name of each video of one side, in lower case, without folder and suffix -> class."""
    return {
        video.name.rpartition("/")[2].removesuffix(".avi").lower(): video.label
        for video in split.videos
        if video.side == side
    }


def published(path: Path, column: int) -> dict[str, int]:
    """The same of a published list, whose classes are in that column."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {re.sub(r"(\.(mp4|mkv|webm))+$", "", row[0].rpartition("/")[2]).lower(): int(row[column]) for row in rows}


def named(labels: dict[str, int], classes: list[str]) -> dict[str, str]:
    """With the names of classes for their numbers, `flicFlac` and `flic_flac` alike."""
    return {video: classes[label].replace("_", "").lower() for video, label in labels.items()}


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


# ---- readers


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    ("dataset", "folder"), [("ucf101", "ucfTrainTestlist"), ("hmdb51", "testTrainMulti_7030_splits")]
)
def test_official__no_recording_is_on_both_sides(data_dir: Path, dataset: str, folder: str, number: int) -> None:
    """Oracle: both data sets' own word for it; UCF101 has 25 groups in each of its 101 classes."""
    sides: dict[str, set[str]] = {}
    for video in OFFICIAL[dataset](data_dir / "splits" / folder, number).videos:
        sides.setdefault(video.group, set()).add(video.side)
    assert [group for group, both in sides.items() if len(both) > 1] == []
    assert len(sides) == 25 * 101 if dataset == "ucf101" else 2000 <= len(sides) < 2100


def test_ucf101__equals_the_published_lists(data_dir: Path) -> None:
    """Oracle: the authors' lists of split 1; of the others, that train and test make up all 13,320 videos."""
    folder, lists = data_dir / "splits" / "ucfTrainTestlist", data_dir / "lists_published"
    split = read_ucf101(folder, 1)
    assert stems(split, "train") == published(lists / "ucf101_rgb_train_split_1.txt", 2)
    assert stems(split, "val") == published(lists / "ucf101_rgb_val_split_1.txt", 2)
    assert (len(split.classes), split.classes[0], split.classes[-1]) == (101, "ApplyEyeMakeup", "YoYo")
    for number in (1, 2, 3):
        videos = read_ucf101(folder, number).videos
        assert len({key for video in videos for key in video.keys}) == len(videos) == 13_320


def test_hmdb51__equals_the_published_lists(data_dir: Path) -> None:
    """Oracle: the authors' lists of split 1, and of the others, HMDB51's 70 and 30 videos of each class.

    Their lists number kick_ball 20 and kick 21, against their own class file, which sorts sword_exercise before sword;
    ours are sorted by name.
    """
    folder, lists = data_dir / "splits" / "testTrainMulti_7030_splits", data_dir / "lists_published"
    split = read_hmdb51(folder, 1)
    theirs = [line.split()[1] for line in (lists / "hmdb51_classInd.txt").read_text().splitlines()]
    theirs[20:22] = ["kick_ball", "kick"]
    for side in ("train", "val"):
        wanted = named(published(lists / f"hmdb51_rgb_{side}_split_1.txt", 2), theirs)
        assert named(stems(split, side), split.classes) == wanted
    for number in (2, 3):
        counts = count_by_class(read_hmdb51(folder, number).videos, split.classes)
        assert set(map(str, counts.values())) == {"{'train': 70, 'val': 30}"}


def test_kinetics__equals_the_published_list(data_dir: Path) -> None:
    """Oracle: the authors' list of the 19,761 validation videos that they had, and the published label map."""
    split = read_kinetics(data_dir / "splits" / "kinetics400")
    theirs = published(data_dir / "lists_published" / "ssd_kinetics_video_vallist.txt", 1)
    ours = {video.keys[1].lower(): video.label for video in split.videos if video.side == "val"}
    assert len(ours) == 19_906
    assert {name: ours[name] for name in theirs} == theirs
    label_map = (data_dir / "splits" / "kinetics400" / "label_map_k400.txt").read_text().splitlines()
    assert split.classes == label_map
    assert [video.side for video in split.videos].index("val") == 400  # training first


def test_ucf101__class_that_the_index_lacks(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("1 Archery\r\n")
    (tmp_path / "trainlist01.txt").write_text("Archery/v_Archery_g01_c01.avi 1\r\nYoYo/v_YoYo_g01_c01.avi 2\r\n")
    with pytest.raises(UsageError, match=r"trainlist01.txt:2' names class 'YoYo', which is not in classInd.txt"):
        read_ucf101(tmp_path, 1)


@pytest.mark.parametrize(
    ("dataset", "file"),
    [("ucf101", "classInd.txt"), ("hmdb51", "brush_hair_test_split1.txt"), ("kinetics", "*.csv")],
)
def test_readers__name_the_file_that_is_missing(tmp_path: Path, dataset: str, file: str) -> None:
    with pytest.raises(UsageError, match="--splits") as caught:
        OFFICIAL[dataset](tmp_path, 1)
    assert file in str(caught.value)


def test_hmdb51__class_without_this_split(tmp_path: Path) -> None:
    (tmp_path / "run_test_split1.txt").write_text("a.avi 1 \n")
    (tmp_path / "walk_test_split2.txt").write_text("b.avi 1 \n")
    with pytest.raises(UsageError, match=r"walk_test_split1.txt' cannot be read"):
        read_hmdb51(tmp_path, 1)


def test_hmdb51__line_with_another_flag(tmp_path: Path) -> None:
    (tmp_path / "run_test_split1.txt").write_text("a.avi 1 \nb.avi 3 \n")
    with pytest.raises(UsageError, match=r"split1.txt:2' reads 'b.avi 3', which is not 'name 0.1.2'"):
        read_hmdb51(tmp_path, 1)


def test_kinetics__test_set_and_other_columns_are_refused(tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n")
    with pytest.raises(UsageError, match="has no labelled video: a test set cannot be trained on"):
        read_kinetics(test)
    test.write_text("name,class\na.mp4,1\n")
    with pytest.raises(UsageError, match=r"test.csv' have no column 'youtube_id' in 'name,class'"):
        read_kinetics(test)


def test_kinetics__row_without_a_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER + "a,AAAAAAAAAAA,42,52,train,0\n,CCCCCCCCCCC,1,11,train,0\n")
    with pytest.raises(UsageError, match=r"train.csv:3' read ',CCCCCCCCCCC,1,11,train,0', which lacks a label"):
        read_kinetics(tmp_path)


# ---- finding


def test_locate__whole_ucf101_in_the_splits_order(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: the split files' own lines; one folder is spelled HandstandPushups, its files HandStandPushups."""
    split = read_ucf101(data_dir / "splits" / "ucfTrainTestlist", 1)
    touch(tmp_path, (video.name for video in split.videos))
    located = locate(tmp_path, split)
    assert [name for name, _ in located.found] == [video.name for video in split.videos]
    assert (located.missing, located.twice, located.unlisted) == ([], [], [])


def test_locate__whole_kinetics_validation_set_as_downloaders_name_it(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: the annotations' own rows. Names in turn: id and seconds, id alone, `_` for spaces, and no folder."""
    split = read_kinetics(data_dir / "splits/kinetics400/val.csv")
    names = []
    for number, video in enumerate(split.videos):
        folder, youtube_id = split.classes[video.label], video.name[:11]
        forms = (
            f"{folder}/{video.name}.mp4",
            f"{folder}/{youtube_id}.mkv",
            f"{folder.replace(' ', '_')}/{video.name}.webm",
            f"{video.name}.mp4",
        )
        names.append(f"val/{forms[number % 4]}")
    assert len(names) == 19906
    touch(tmp_path, names)
    located = locate(tmp_path, split)
    assert [name for name, _ in located.found] == names
    assert (located.missing, located.twice, located.unlisted) == ([], [], [])


def test_locate__whole_hmdb51(data_dir: Path, tmp_path: Path) -> None:
    """Oracle: split 1's 3,570 and 1,530 videos of 6,766 that a download holds, as the data set's authors count them."""
    split = read_hmdb51(data_dir / "splits/testTrainMulti_7030_splits", 1)
    every = {
        f"{file.name.split('_test_split')[0]}/{line.split()[0]}"
        for file in (data_dir / "splits/testTrainMulti_7030_splits").iterdir()
        for line in file.read_text().splitlines()
    }
    assert len(every) == 6766
    touch(tmp_path, every)
    located = locate(tmp_path, split)
    sides = [video.side for _, video in located.found]
    assert (sides.count("train"), sides.count("val"), len(located.unlisted)) == (3570, 1530, 6766 - 5100)
    assert (located.missing, located.twice) == ([], [])


def test_locate__names_differ_in_case_folder_and_suffix(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "classInd.txt").write_text("1 HandstandPushups\n2 YoYo\n")
    names = [f"HandstandPushups/v_HandStandPushups_g01_c0{number}.avi" for number in (1, 2, 3, 4)]
    (tmp_path / "splits" / "trainlist01.txt").write_text("".join(f"{name} 1\r\n" for name in names))
    (tmp_path / "splits" / "testlist01.txt").write_text("YoYo/v_YoYo_g01_c01.avi\n")
    root = tmp_path / "videos"
    touch(
        root,
        [
            "HandStandPushups/v_HandstandPushups_g01_c01.avi",
            "v_HandStandPushups_g01_c02.MP4",
            "frames/v_HandStandPushups_g01_c03/img_00001.jpg",
            "frames/v_HandStandPushups_g01_c03/img_00002.jpg",
            ".hidden/v_HandStandPushups_g01_c04.avi",
            "notes/v_HandStandPushups_g01_c04.txt",
            "other/v_Other_g01_c01.avi",
        ],
    )
    located = locate(root, read_ucf101(tmp_path / "splits", 1))
    assert [name for name, _ in located.found] == [
        "HandStandPushups/v_HandstandPushups_g01_c01.avi",
        "v_HandStandPushups_g01_c02.MP4",
        "frames/v_HandStandPushups_g01_c03",
    ]
    assert [video.name for video in located.missing] == [names[3], "YoYo/v_YoYo_g01_c01.avi"]
    assert located.unlisted == ["other/v_Other_g01_c01.avi"]


def test_locate__kinetics_by_segment_then_by_id(tmp_path: Path) -> None:
    """Two segments of one recording are two videos; a file that names its seconds is only the one it names."""
    rows = "a b,AAAAAAAAAAA,42,52,train,0\na b,AAAAAAAAAAA,60,70,val,0\nc,-_CCCCCCCCC,1.0,11.0,train,0\nc,DDDDDDDDDDD,0,10,val,0\n"
    (tmp_path / "all.csv").write_text(HEADER + rows)
    root = tmp_path / "videos"
    files = [
        "train/a b/AAAAAAAAAAA_000042_000052.mkv",
        "train/c/-_CCCCCCCCC.mp4.webm",
        "val/c/DDDDDDDDDDD_000005_000015.mp4",
    ]
    touch(root, files)
    located = locate(root, read_kinetics(tmp_path / "all.csv"))
    assert [(name, video.label, video.side) for name, video in located.found] == [
        (files[0], 0, "train"),
        (files[1], 1, "train"),
    ]
    assert [video.name for video in located.missing] == ["AAAAAAAAAAA_000060_000070", "DDDDDDDDDDD_000000_000010"]
    assert located.unlisted == [files[2]]


def test_locate__video_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(HEADER + "a,AAAAAAAAAAA,42,52,train,0\n")
    touch(tmp_path / "videos", ["one/AAAAAAAAAAA.mp4", "two/AAAAAAAAAAA.mp4"])
    located = locate(tmp_path / "videos", read_kinetics(tmp_path / "all.csv"))
    assert [name for name, _ in located.found] == ["one/AAAAAAAAAAA.mp4"]
    assert located.twice == [("one/AAAAAAAAAAA.mp4", "two/AAAAAAAAAAA.mp4")]


def test_locate__root_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(HEADER + "a,AAAAAAAAAAA,42,52,train,0\n")
    with pytest.raises(UsageError, match=r"nowhere' is not a folder"):
        locate(tmp_path / "nowhere", read_kinetics(tmp_path / "all.csv"))


def test_locate__one_file_is_one_video(tmp_path: Path) -> None:
    """Two segments of one recording, and a file that does not say which it is: the first of the split has it."""
    (tmp_path / "all.csv").write_text(HEADER + "a,AAAAAAAAAAA,42,52,train,0\nb,AAAAAAAAAAA,60,70,val,0\n")
    touch(tmp_path / "videos", ["AAAAAAAAAAA.mp4"])
    located = locate(tmp_path / "videos", read_kinetics(tmp_path / "all.csv"))
    assert [video.label for _, video in located.found] == [0]
    assert [video.name for video in located.missing] == ["AAAAAAAAAAA_000060_000070"]


def test_locate__thumbnails_beside_videos_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(HEADER + "a,AAAAAAAAAAA,42,52,train,0\n")
    touch(tmp_path / "videos", ["a/AAAAAAAAAAA_000042_000052.mp4", "a/AAAAAAAAAAA_000042_000052.jpg"])
    located = locate(tmp_path / "videos", read_kinetics(tmp_path / "all.csv"))
    assert [name for name, _ in located.found] == ["a/AAAAAAAAAAA_000042_000052.mp4"]
