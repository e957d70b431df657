"""The official splits of UCF101, HMDB51 and Kinetics as published, and where their videos are on the disk."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vtdl_cli.data.lists.entries import name_clip
from vtdl_cli.data.lists.splits import SIDES, TRAIN, VAL
from vtdl_cli.data.video.disk import stem
from vtdl_cli.data.video.folder_scan import scan_folder
from vtdl_cli.errors import UsageError

KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_SIDES = {"train": TRAIN, "val": VAL, "validate": VAL}
"""Value in the `split` column of the Kinetics annotations -> side; `test` has no labels."""
_FLAGS = {"1": TRAIN, "2": VAL}
"""Flag in the HMDB51 split files -> side; videos with flag 0 are not used."""
_SECONDS = re.compile(r"\d+(\.\d+)?")


class OfficialVideo(NamedTuple):
    """One video of a split."""

    name: str  # as written in the split files
    keys: tuple[str, ...]  # keys of the files it may be stored as; the first one found counts
    label: int
    side: str  # TRAIN or VAL
    group: str  # shared by all clips of one recording


class OfficialSplit(NamedTuple):
    """The videos of a split, training first, then validation."""

    classes: list[str]
    videos: list[OfficialVideo]
    key: Callable[[str], str]  # from a file name without its suffix to its key


class Located(NamedTuple):
    """What is on the disk of a split; paths are relative to the root, with forward slashes."""

    found: list[tuple[str, OfficialVideo]]  # in the order of the split
    missing: list[OfficialVideo]
    twice: list[tuple[str, str]]  # (taken, left): two files of one video
    unlisted: list[str]  # on the disk, but not in the split


def read_ucf101(folder: Path, split: int) -> OfficialSplit:
    """Read `classInd.txt`, `trainlist01.txt` and `testlist01.txt` (or 02, 03) of `ucfTrainTestlist`.

    The class of a video is that of its folder. Case is ignored: the folder `HandstandPushups` holds files named
    `v_HandStandPushups_*`.

    Raises:
        UsageError: a file is missing, or names a class that is not in classInd.txt.
    """
    classes = [line.split(None, 1)[-1] for line in _lines(folder / "classInd.txt") if line]
    numbers = {name.casefold(): number for number, name in enumerate(classes)}
    videos = []
    for name_of_file, side in (("trainlist", TRAIN), ("testlist", VAL)):
        path = folder / f"{name_of_file}{split:02d}.txt"
        for line_number, line in enumerate(_lines(path), start=1):
            if not line:
                continue
            name = re.sub(r"\s+\d+$", "", line)  # training lists have the class number after the name
            class_name, _, file_name = name.rpartition("/")
            if class_name.casefold() not in numbers:
                raise UsageError(
                    f"split file '{path}:{line_number}' names class '{class_name}', which is not in classInd.txt. "
                    "Take both files from one download"
                )
            key = stem(file_name).casefold()
            group = key.rpartition("_c")[0]  # v_Archery_g01_c01 is the first clip of the first group
            videos.append(OfficialVideo(name, (key,), numbers[class_name.casefold()], side, group))
    return OfficialSplit(classes, videos, str.casefold)


def read_hmdb51(folder: Path, split: int) -> OfficialSplit:
    """Read `<class>_test_split1.txt` (or 2, 3) of every class; flag 1 is training, 2 is test, 0 is unused.

    Raises:
        UsageError: a file is missing, or a line has another flag.
    """
    classes = sorted({path.name.rpartition("_test_split")[0] for path in folder.glob("*_test_split[123].txt")})
    if not classes:
        _lines(folder / f"brush_hair_test_split{split}.txt")  # raises: the file does not exist
    sides: dict[str, list[OfficialVideo]] = {flag: [] for flag in _FLAGS}
    for label, class_name in enumerate(classes):
        path = folder / f"{class_name}_test_split{split}.txt"
        for line_number, line in enumerate(_lines(path), start=1):
            name, _, flag = line.rpartition(" ")
            if not line:
                continue
            if flag in sides:
                name = name.strip()
                key, recording = stem(name).casefold(), name.rpartition(f"_{class_name}_")[0]
                group = f"{class_name}/{recording or name}"
                sides[flag].append(OfficialVideo(f"{class_name}/{name}", (key,), label, _FLAGS[flag], group))
            elif flag != "0":
                raise UsageError(
                    f"split file '{path}:{line_number}' reads '{line}', which is not 'name 0|1|2'. Correct it"
                )
    return OfficialSplit(classes, sides["1"] + sides["2"], str.casefold)


def read_kinetics(path: Path, _split: int = 1) -> OfficialSplit:
    """Read the annotations of Kinetics-400, 600 or 700: one CSV, or a folder of them, with the side in column `split`.

    Classes are numbered in alphabetical order. Files are named after the YouTube id, with or without the first and last
    second: `<id>.mp4`, `<id>_000042_000052.mkv`.

    Raises:
        UsageError: there is no CSV, its columns differ, or no row has a label, as in a test set.
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise UsageError(
            f"--splits '{path}' contains no '*.csv'. Name the folder of the Kinetics annotations, or one of its files"
        )
    labelled = [row for file in files for row in _annotations(file) if row["split"] in _SIDES]
    if not labelled:
        raise UsageError(
            f"--splits '{path}' has no labelled video: a test set cannot be trained on. Name train and val"
        )
    classes = sorted({row["label"] for row in labelled})
    numbers = {name: number for number, name in enumerate(classes)}
    videos = [
        OfficialVideo(_segment(row), (_segment(row), video), numbers[row["label"]], _SIDES[row["split"]], video)
        for row in labelled
        for video in [row["youtube_id"]]
    ]
    return OfficialSplit(classes, sorted(videos, key=lambda video: SIDES.index(video.side)), str)


def _annotations(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of one CSV; those of a test set have no label."""
    lines = _lines(path)
    reader = csv.DictReader(lines)
    absent = [name for name in KINETICS_COLUMNS[1:] if name not in (reader.fieldnames or ())]
    if absent:
        raise UsageError(
            f"annotations '{path}' have no column '{absent[0]}' in '{lines[0] if lines else ''}'. "
            f"Their first line names {', '.join(KINETICS_COLUMNS)}"
        )
    for row in reader:
        side, times = row["split"], (row["time_start"] or "", row["time_end"] or "")
        complete = row.get("label") and side in _SIDES
        if (side != "test" and not complete) or not all(map(_SECONDS.fullmatch, times)):
            where = f"annotations '{path}:{reader.line_num}' read '{lines[reader.line_num - 1]}'"
            raise UsageError(f"{where}, which lacks a label, a split (train, val or test) or seconds. Correct the line")
        yield row


def _segment(row: dict[str, str]) -> str:
    """Return the id with its first and last second, as downloaders name the file."""
    return name_clip(row["youtube_id"], float(row["time_start"]), float(row["time_end"]))


OFFICIAL: dict[str, Callable[[Path, int], OfficialSplit]] = {
    "ucf101": read_ucf101,
    "hmdb51": read_hmdb51,
    "kinetics": read_kinetics,
}
"""Dataset -> reader of its split files."""


def locate(root: Path, split: OfficialSplit, *, flow: bool = False) -> Located:
    """Look for the videos of a split anywhere below `root`, without opening any.

    Args:
        root: the folder to search.
        split: the videos to look for.
        flow: look for folders of optical flow instead, see `data.video.flow_folder`.

    Raises:
        UsageError: `root` is not a folder, or cannot be listed.
    """
    places: dict[str, list[str]] = {}
    for name in scan_folder(root, flow=flow).videos:
        places.setdefault(split.key(stem(name)), []).append(name)
    result = Located([], [], [], [])
    taken: set[str] = set()
    for video in split.videos:
        key = next((key for key in video.keys if key in places and key not in taken), None)
        if key is None:
            result.missing.append(video)
            continue
        first, *others = places[key]
        taken.add(key)
        result.found.append((first, video))
        result.twice.extend((first, other) for other in others)
    result.unlisted.extend(name for key, names in places.items() if key not in taken for name in names)
    return result


def _lines(path: Path) -> list[str]:
    """Return the lines of a split file, stripped.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"split file '{path}' cannot be read ({error.strerror}). Check --splits") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"split file '{path}' is not UTF-8 text. Check --splits") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def count_by_class(videos: Iterable[OfficialVideo], classes: list[str]) -> dict[str, dict[str, int]]:
    """Count videos by class and side; classes without any are left out."""
    counts: dict[str, dict[str, int]] = {}
    for video in videos:
        counts.setdefault(classes[video.label], {TRAIN: 0, VAL: 0})[video.side] += 1
    return counts
