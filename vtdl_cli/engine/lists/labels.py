"""Whether the classes of a list are those that a classifier knows."""

from vtdl_cli.data.lists.label_sets import LabelSet, compare_classes, counting_warning
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.errors import ListError


def check_labels(videos: VideoList, trained: LabelSet, num_classes: int) -> list[str]:
    """A list's classes must be those that the classifier knows.

    Args:
        videos: the list.
        trained: what the classifier's outputs stand for.
        num_classes: as many as it has.

    Returns:
        What is to be warned of.

    Raises:
        UsageError: other names for the same numbers.
        ListError: a class outside the head.
    """
    if not videos.classes or not trained.names:
        _check_range(videos, num_classes)
    remedy = "Prepare both lists in one go: a list may lack videos of a class, its classes.txt names it all the same"
    warnings = compare_classes(trained, videos.label_set, remedy), counting_warning(videos.label_set)
    return [warning for warning in warnings if warning]


def _check_range(videos: VideoList, num_classes: int) -> None:
    outside = videos.labels >= num_classes
    if not outside.any():
        return
    first = int(outside.argmax())
    hint = "Prepare both lists in one go, or check --list-columns"
    if videos.labels.min() == 1 and videos.labels.max() == num_classes:  # as UCF101's own files do
        hint = f"Where the list counts them from 1: vtdl lists convert {videos.source} --from-one --out ..."
    raise ListError(
        f"{videos.source}:{videos.line(first)}: class '{videos.labels[first]}' is outside the classifier's "
        f"{num_classes} classes, 0 to {num_classes - 1}. {hint}"
    )
