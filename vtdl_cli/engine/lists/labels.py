"""Check a list's classes against those of a classifier, and report what is unlabelled."""

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.columns import LIST_COLUMNS
from vtdl_cli.data.lists.label_sets import LabelSet, compare_classes, counting_warning
from vtdl_cli.data.lists.list_file import counting_from_zero
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.errors import ListError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

KNN_VIDEOS = 20_000
"""The most videos of a list that the kNN metric of pretraining is computed of: an accuracy of so many is known to 0.7
points (95%), and to decode Kinetics' 240,000 after some epochs would take as long as another."""


def choose_knn_videos(videos: VideoList, seed: int) -> NDArray[np.int64]:
    """Return the indices of the videos with a class, in order; of more than KNN_VIDEOS, as many drawn by `seed`."""
    known = np.flatnonzero(videos.labels != UNKNOWN_CLASS)
    if len(known) <= KNN_VIDEOS:
        return known
    return np.sort(np.random.default_rng(seed).choice(known, KNN_VIDEOS, replace=False))


def report_list(videos: VideoList, reporter: Reporter, *, knn: bool = False) -> None:
    """Report how a list was read, how many of its videos have no class, and what the kNN metric leaves out.

    Args:
        videos: the list, or the videos of a folder.
        reporter: for a line each, where there is something to report.
        knn: the kNN metric will be measured.
    """
    report_columns(videos, reporter)
    number = int(np.count_nonzero(videos.labels == UNKNOWN_CLASS))
    is_partial = number > 0 and len(videos) > 1
    remarks = [f"{number} of {len(videos)} videos without a class"] if is_partial else []
    known = len(videos) - number
    if knn and known > KNN_VIDEOS:
        remarks.append(f"the kNN metric is of {KNN_VIDEOS} of the {known} videos with a class, drawn by --seed")
    elif knn and is_partial:
        no_effect = "pretrain.knn_every has no effect"
        remarks.append(no_effect if known < 2 else f"the kNN metric is of the other {known}")
    if remarks:
        reporter.line(f"'{videos.source}': {'; '.join(remarks)}")


def report_columns(videos: VideoList, reporter: Reporter) -> None:
    """Report how a list was read, if it is a table, and warn of videos of a folder that are left out."""
    if warning := describe_left_out(videos):
        reporter.warn(warning)
    if videos.columns not in LIST_COLUMNS:
        reporter.line(f"'{videos.source}' is read as {videos.columns}")


def describe_left_out(videos: VideoList) -> str:
    """Return a warning of videos of a folder whose names no list can hold; empty if there are none."""
    if not videos.left_out:
        return ""
    number, first = len(videos.left_out), videos.left_out[0]
    what = f"folder '{videos.source}': {counted(number, 'video is', 'videos are')} left out"
    why = "for a name that no list can hold"
    return f"{what}, {why}; the first is {first!a}: {unlistable(first)}. Rename {'it' if number == 1 else 'them'}"


def check_labels(videos: VideoList, trained: LabelSet, num_classes: int) -> list[str]:
    """Make sure that a classifier knows the classes of a list.

    Args:
        videos: the list.
        trained: the classes that the classifier was trained on.
        num_classes: its number of outputs.

    Returns:
        Warnings.

    Raises:
        UsageError: the same numbers have other names.
        ListError: a class is out of range.
    """
    if not videos.classes or not trained.names:
        _check_range(videos, num_classes)
    remedy = "Prepare both lists together: a list may lack videos of a class, but its classes.txt must name it"
    warnings = compare_classes(trained, videos.label_set, remedy), counting_warning(videos.label_set)
    return [warning for warning in warnings if warning]


def _check_range(videos: VideoList, num_classes: int) -> None:
    outside = videos.labels >= num_classes
    if not outside.any():
        return
    first = int(outside.argmax())
    hint = "Prepare both lists together, or check --list-columns"
    if videos.labels.min() == 1 and videos.labels.max() == num_classes:  # as in the split files of UCF101
        hint = f"If the list counts classes from 1: {counting_from_zero(videos.command_that_converts)}"
    raise ListError(
        f"list '{videos.source}:{videos.line(first)}' has class '{videos.labels[first]}', outside the classifier's "
        f"{num_classes} classes, 0 to {num_classes - 1}. {hint}"
    )
