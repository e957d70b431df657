import pytest

from vtdl_cli.data.lists.layouts import Layout, count_folders, describe, recognise, side_of, side_of_cell
from vtdl_cli.errors import UsageError

CLASSES = ["run/a.mp4", "walk/b.mp4"]
SUBJECTS = ["run/ann/a.mp4", "run/bob/b.mp4", "walk/ann/c.mp4"]
BOTH = [f"{side}/{name}" for side in ("train", "validation") for name in CLASSES]


def below(folder: str, names: list[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (CLASSES, Layout((), {}, "folder")),
        (["a.mp4", "b.mp4"], Layout((), {}, "none")),
        (BOTH, Layout((), {"train": "train", "validation": "val"}, "folder")),
        (["train/a.mp4", "test/b.mp4"], Layout((), {"train": "train", "test": "test"}, "none")),
        (SUBJECTS, Layout((), {}, "none")),  # as are cameras and days
        (["cam 1/day 1/a.mp4", "cam 1/day 2/b.mp4", "cam 2/day 1/c.mp4"], Layout((), {}, "none")),
        (below("data/videos", CLASSES), Layout(("data", "videos"), {}, "folder")),
        (below("data", BOTH), Layout(("data",), {"train": "train", "validation": "val"}, "folder")),
        (below("val", CLASSES), Layout(("val",), {}, "folder")),  # half a data set
        (
            [*below("videos_train", CLASSES), *below("videos_val", CLASSES), *below("test_256", CLASSES)],
            Layout((), {"videos_train": "train", "videos_val": "val", "test_256": "test"}, "folder"),
        ),
        ([*CLASSES, "c.mp4", "walk/raw/d.mp4"], Layout((), {}, "folder")),  # half of them
        ([*CLASSES, "c.mp4", "d.mp4", "e.mp4"], Layout((), {}, "none")),
        (["videos/a.mp4", "videos/b.mp4"], Layout((), {}, "none")),  # one class is none
        (["train/a.mp4", "bus/b.mp4"], Layout((), {}, "folder")),  # classes of vehicles
        (["train/a.mp4", *(f"{name}/b.mp4" for name in ("testing", "bus", "car", "tram"))], Layout((), {}, "folder")),
    ],
)
def test_recognise__what_people_have(names: list[str], expected: Layout) -> None:
    assert recognise(count_folders(names)) == expected


@pytest.mark.parametrize(
    ("labels", "split_from", "names", "places"),
    [
        ("folder", "auto", SUBJECTS, [("train", "run"), ("train", "run"), ("train", "walk")]),
        ("parent", "auto", SUBJECTS, [("train", "ann"), ("train", "bob"), ("train", "ann")]),
        ("none", "auto", [*BOTH[1:3], "extra.mp4"], [("train", ""), ("val", ""), None]),
        ("auto", "draw", BOTH, [("train", "")] * 4),
        ("folder", "draw", BOTH, [("train", "train")] * 2 + [("train", "validation")] * 2),
        ("folder", "folder", below("val", CLASSES), [("val", "run"), ("val", "walk")]),
        ("folder", "auto", ["walk/a.mp4", "walk/b.mp4"], [("train", "walk")] * 2),  # one class, asked for
        ("folder", "auto", ["a.mp4", "walk/b.mp4"], [None, ("train", "walk")]),
    ],
)
def test_place__of_each_video(labels: str, split_from: str, names: list[str], places: list[tuple[str, str]]) -> None:
    layout = recognise(count_folders(names), labels, split_from)
    assert [layout.place(tuple(name.split("/")[:-1])) for name in names] == places


def test_recognise__refuses_lists_from_other_folders() -> None:
    says = (
        "finds no folder such as train, val or test: 3 in <folder>/<folder>/, such as 'run/ann/'. Use --split-from draw"
    )
    with pytest.raises(UsageError, match=says):
        recognise(count_folders(SUBJECTS), split_from="folder")


@pytest.mark.parametrize(
    ("folder", "side"),
    [
        *(("train", "train"), ("Training", "train"), ("valid", "val"), ("VAL", "val"), ("testing_data", "test")),
        *(("train2017", "train"), ("trainval", None), ("train_val", None), ("trains", None), ("walk", None)),
    ],
)
def test_side_of__names_with_one_word(folder: str, side: str | None) -> None:
    assert side_of(folder) == side


@pytest.mark.parametrize(
    ("cell", "side"),
    [("dev", "val"), ("Development", "val"), ("Test", "test"), ("trainval", None), ("fold 1", None), ("", None)],
)
def test_side_of_cell__dev_is_validation(cell: str, side: str | None) -> None:
    """As the name of a folder it is not: /dev/shm holds devices and memory."""
    assert side_of_cell(cell) == side
    assert side_of("dev") is None


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            ["train/run/a", "train/walk/b", "testing/run/c"],
            "layout <list>/<class>/<video>: 3 videos in 2 classes; 'train' is train; 'testing' is test; no folder is "
            "val, see --val-fraction. To read it otherwise: --labels none: without classes; --split-from draw: lists "
            "are drawn at random",
        ),
        (
            [*SUBJECTS, "z"],
            "layout .../<video>: 4 videos without classes: 3 in <folder>/<folder>/, such as 'run/ann/'; 1 in no "
            "sub-folder. To read it otherwise: --labels folder: the first folder is the class, parent: the last",
        ),
        (
            ["val/run/a", "val/walk/b"],
            "layout val/<class>/<video>: 2 videos in 2 classes. To read it otherwise: --labels none: without classes; "
            "--split-from folder: 'val' is val",
        ),
        (["a", "b"], "layout <video>: 2 videos without classes: 2 in no sub-folder"),
    ],
)
def test_describe__what_was_recognised_and_the_options(names: list[str], text: str) -> None:
    counts = count_folders(names)
    layout = recognise(counts)
    assert describe(layout, counts, 2 if layout.labels == "folder" else 0, 0) == text
