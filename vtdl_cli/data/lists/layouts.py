"""Recognise the layout of a folder: which of the folders above a video names its list, and which its class.

| videos lie in | `auto` reads | to read it otherwise |
| --- | --- | --- |
| `<class>/<video>` | classes; lists are drawn | `--labels none` |
| `train/<class>/<video>`, `val/...`, `test/...` | classes and lists | `--split-from draw`, `--labels none` |
| `train/<video>`, `val/<video>` | lists, without classes | `--split-from draw` |
| `<class>/<subject>/<video>` | no classes, as in `<camera>/<day>/<video>` | `--labels folder`: the first folder |
| `<part>/<class>/<video>` | likewise | `--labels parent`: the last folder |
| others, or all in one folder | no classes | |

All of them may lie below further folders, such as `dataset/videos/`. Only paths are inspected.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple

from vtdl_cli.data.lists.splits import SIDES, TEST, TRAIN, VAL
from vtdl_cli.errors import UsageError
from vtdl_cli.text import counted

AUTO, FOLDER, PARENT, NONE = LABELS = ("auto", "folder", "parent", "none")
"""Where classes come from: what fits most videos, the first folder, the last folder, or nowhere."""
DRAW = "draw"
SPLIT_SOURCES = (AUTO, FOLDER, DRAW)
"""Where lists come from: folders if there are such, folders, or a random draw."""

SIDE_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validate", "validation"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}
"""Words in the names of folders, such as `train`, `videos_val` and `test_256`, and their sides."""
_DEVELOPMENT = ("dev", "development")  # validation in a list; as a folder it may be /dev/shm
_MOST_SHAPES_SHOWN = 3  # in one line

Folders = tuple[str, ...]
"""The folders above a video, outermost first."""


class Place(NamedTuple):
    """What a video's folders say of it."""

    side: str
    name: str  # the folder that is its class; empty if it has none


@dataclass(frozen=True)
class Layout:
    """How the folders above a video are read.

    Attributes:
        prefix: folders that all videos lie below, and that mean nothing.
        sides: folders below the prefix that stand for a list, with its side; empty: lists are drawn.
        labels: `FOLDER`, `PARENT` or `NONE`.
    """

    prefix: Folders
    sides: dict[str, str]
    labels: str

    def below(self, folders: Folders) -> Folders | None:
        """Return the folders without the prefix and that of a list; None if a video is in none of the lists."""
        inner = folders[len(self.prefix) :]
        if not self.sides:
            return inner
        return inner[1:] if inner and inner[0] in self.sides else None

    def place(self, folders: Folders) -> Place | None:
        """Return side and class of the videos in a folder; None if they have no place in this layout."""
        inner = self.below(folders)
        if inner is None or (not inner and self.labels != NONE):
            return None
        side = self.sides[folders[len(self.prefix)]] if self.sides else TRAIN
        return Place(side, "" if self.labels == NONE else inner[-1 if self.labels == PARENT else 0])


def count_folders(names: Iterable[str]) -> Counter[Folders]:
    """Count the videos of each folder, from their paths."""
    folders = Counter(name.rpartition("/")[0] for name in names)
    return Counter({tuple(folder.split("/")) if folder else (): number for folder, number in folders.items()})


def recognise(counts: Mapping[Folders, int], labels: str = AUTO, split_from: str = AUTO) -> Layout:
    """Recognise the layout of a folder of videos.

    Args:
        counts: number of videos in each folder.
        labels: one of `LABELS`. `auto` takes folders as classes if at least half of the videos lie in exactly one, and
            these are several.
        split_from: one of `SPLIT_SOURCES`. `auto` takes folders as lists if one is for training, another is not, and
            at least half of the videos lie in such folders.

    Raises:
        UsageError: for `folder`, no folder stands for a list.
    """
    prefix = _common_folders(counts)
    if split_from == FOLDER:
        prefix = prefix[: next((at for at, name in enumerate(prefix) if side_of(name)), len(prefix))]
    sides = {} if split_from == DRAW else _find_sides(counts, prefix)
    if split_from == FOLDER and not sides:
        raise UsageError(
            f"--split-from folder finds no folder such as train, val or test: {describe_shapes(counts)}. "
            "Use --split-from draw"
        )
    if split_from == AUTO and not _divides(counts, len(prefix), sides):
        sides = {}
    layout = Layout(prefix, sides, FOLDER if labels == AUTO else labels)
    if labels == AUTO and not _has_classes(counts, layout):
        return replace(layout, labels=NONE)
    return layout


def side_of(folder: str) -> str | None:
    """Return the side that a folder's name stands for; None if it names none, or several."""
    sides = {SIDE_WORDS[word] for word in re.findall("[a-z]+", folder.casefold()) if word in SIDE_WORDS}
    return sides.pop() if len(sides) == 1 else None


def side_of_cell(cell: str) -> str | None:
    """Return the side that a word in a list stands for, `dev` being val; None if it names none, or several."""
    return VAL if cell.casefold() in _DEVELOPMENT else side_of(cell)


def describe(layout: Layout, counts: Mapping[Folders, int], classes: int, frame_folders: int) -> str:
    """Return the line that reports a layout, and the options that would read the folder otherwise.

    Args:
        layout: how the folder is read.
        counts: number of videos in each folder.
        classes: number of classes.
        frame_folders: videos that are folders of frames.
    """
    placed = {folders: number for folders, number in counts.items() if layout.place(folders)}
    depth = max(len(layout.below(folders) or ()) for folders in placed)
    text = f"layout {_pattern(layout, depth)}: {counted(sum(placed.values()), 'video')}"
    text += f" (frame folders: {frame_folders})" if frame_folders else ""
    text += f" in {counted(classes, 'class')}" if classes else f" without classes: {describe_shapes(placed)}"
    text += "".join(f"; '{folder}' is {side}" for folder, side in layout.sides.items())
    text += "; no folder is val, see --val-fraction" if layout.sides and VAL not in layout.sides.values() else ""
    otherwise = ["--labels none: without classes"] if classes else []
    if depth and not classes:
        otherwise.append("--labels folder: the first folder is the class, parent: the last")
    if layout.sides:
        otherwise.append("--split-from draw: lists are drawn at random")
    otherwise += [f"--split-from folder: '{name}' is {side}" for name in layout.prefix if (side := side_of(name))]
    return f"{text}. To read it otherwise: {'; '.join(otherwise)}" if otherwise else text


def _pattern(layout: Layout, depth: int) -> str:
    """Return a layout as a path, such as `videos/<list>/<class>/<video>`; `...` stands for folders of no meaning."""
    others = ["..."] if depth > (layout.labels != NONE) else []
    levels = {FOLDER: ["<class>", *others], PARENT: [*others, "<class>"], NONE: others}[layout.labels]
    return "/".join([*layout.prefix, *(["<list>"] if layout.sides else []), *levels, "<video>"])


def describe_shapes(counts: Mapping[Folders, int]) -> str:
    """Say how deep the videos lie, with an example of each depth, the most frequent first."""
    depths: Counter[int] = Counter()
    examples: dict[int, Folders] = {}
    for folders, number in counts.items():
        depths[len(folders)] += number
        examples[len(folders)] = min(folders, examples.get(len(folders), folders))
    places = {depth: f"{'<folder>/' * depth}, such as '{'/'.join(example)}/'" for depth, example in examples.items()}
    places[0] = "no sub-folder"
    shown = [f"{number} in {places[depth]}" for depth, number in depths.most_common(_MOST_SHAPES_SHOWN)]
    return "; ".join([*shown, *(["others"] if len(depths) > len(shown) else [])])


def _common_folders(counts: Mapping[Folders, int]) -> Folders:
    """Return the folders that all videos lie below; a single folder of videos is none, as it may be a class."""
    first, last = min(counts), max(counts)  # what these two share, all between them share
    common = tuple(name for name, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return common if len(counts) > 1 else common[:-1]


def _find_sides(counts: Mapping[Folders, int], prefix: Folders) -> dict[str, str]:
    names = sorted({folders[len(prefix)] for folders in counts if len(folders) > len(prefix)})
    found = {name: side for name in names if (side := side_of(name))}
    return dict(sorted(found.items(), key=lambda item: SIDES.index(item[1])))


def _divides(counts: Mapping[Folders, int], depth: int, sides: Mapping[str, str]) -> bool:
    inside = sum(number for folders, number in counts.items() if len(folders) > depth and folders[depth] in sides)
    return TRAIN in sides.values() and len(set(sides.values())) > 1 and 2 * inside >= sum(counts.values())


def _has_classes(counts: Mapping[Folders, int], layout: Layout) -> bool:
    placed = [(inner, number) for folders, number in counts.items() if (inner := layout.below(folders)) is not None]
    direct = sum(number for inner, number in placed if len(inner) == 1)
    several = len({inner for inner, _ in placed if len(inner) == 1}) > 1
    return several and 2 * direct >= sum(number for _, number in placed)
