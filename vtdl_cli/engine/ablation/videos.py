"""The lists of one seed of an ablation, the same for all rows."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.same_videos import name_shared
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.text import counted

SEED = "{seed}"  # in the path or the root of a list: each seed has its own


@dataclass(frozen=True)
class Videos:
    """The lists of one seed."""

    train_source: ListSource
    test_source: ListSource
    train: VideoList
    test: VideoList


def read_videos(lists: tuple[ListSource, ListSource], seed: int, *, needs_classes: bool) -> Videos:
    """Read the lists of one seed; `needs_classes`: every training video must have one."""
    train, test = (of_seed(source, seed) for source in lists)
    return Videos(train, test, train.read(needs_classes=needs_classes), test.read())


def of_seed(source: ListSource, seed: int) -> ListSource:
    """Return the list of one seed."""

    def place(path: Path) -> Path:
        return Path(str(path).replace(SEED, str(seed)))

    return replace(source, path=place(source.path), root=source.root and place(source.root))


def check_videos(videos: Videos, measures: Measures) -> None:
    """Check early what measuring features would only find after pretraining.

    Raises:
        ListError: videos are in both lists, or fewer than two classes.
        UsageError: the lists have different classes, or one has fewer videos than `per_class`.
    """
    train, test = videos.train, videos.test
    compare_classes(train.label_set, test.label_set, "Prepare both lists together")
    if shared := name_shared(train, test):
        raise ListError(
            f"list '{test.source}' shares {counted(len(shared), 'video')} with '{train.source}', the "
            f"first is '{shared[0]}'. "
            "Use lists without common videos"
        )
    classes, counts = np.unique(train.labels[train.labels != UNKNOWN_CLASS], return_counts=True)
    if len(classes) < 2:
        raise ListError(
            f"list '{train.source}' has labels of {counted(len(classes), 'class')}. Use one with two or more"
        )
    if counts.min() < measures.per_class:
        rarest = train.label_set.describe(classes[counts.argmin()])
        raise UsageError(
            f"--per-class '{measures.per_class}' exceeds the {counted(counts.min(), 'video')} of class {rarest} in "
            f"'{train.source}'. Use at most that"
        )
