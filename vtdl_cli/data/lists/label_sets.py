"""Label sets: which classes the numbers of a file stand for, and the one comparison of two of them.

Whatever puts labels of two origins side by side (two lists, a list and a classifier, two files of features or of
scores, a run and what it resumes with) asks `compare_classes` first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vtdl_cli.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The classes of one list, file or network; see `label_set`.

    Attributes:
        owner: whose they are, for messages: `list 'lists/val.txt'`.
        names: by number, from 0; none where only numbers are known.
        occurring: int64 [K], the numbers that occur, ascending; empty where no video has a class.
    """

    owner: str
    names: list[str] | None
    occurring: NDArray[np.int64]

    def describe(self, label: int) -> str:
        """A class for messages: its number, and its name where it has one."""
        return f"{label} ('{self.names[label]}')" if self.names else str(label)

    @property
    def seems_to_count_from_one(self) -> bool:
        """Whether nothing is named, no video has class 0, and every class from 1 up to the highest has some.

        A list of two classes or more; of one alone nothing can be told.
        """
        number = len(self.occurring)
        return not self.names and number > 1 and np.array_equal(self.occurring, np.arange(1, number + 1))


def label_set(owner: str, names: Sequence[str] | None, labels: ArrayLike) -> LabelSet:
    """The classes of `owner`.

    Args:
        owner: for messages.
        names: by number; those that are the numbers themselves name nothing.
        labels: those of its videos, or all that a network tells apart; negative ones are no classes.
    """
    are_numbers = names is not None and list(names) == [str(number) for number in range(len(names))]
    occurring = np.unique(np.asarray(labels, np.int64))
    return LabelSet(owner, None if names is None or are_numbers else list(names), occurring[occurring >= 0])


def compare_classes(ours: LabelSet, theirs: LabelSet, remedy: str) -> str:
    """Make sure that one number is one class in both: names have to be the same, in the same order.

    A part of the names will not do: numbers count all of them. Videos of a part of the classes will.

    Args:
        ours: what is known.
        theirs: what is held against it.
        remedy: what to type next where they do not fit.

    Returns:
        A warning where one of them has no names and numbers alone were compared; else nothing.

    Raises:
        UsageError: they have other names, or the same in another order; or, without names, numbers that cannot be
            those of the other.
    """
    if ours.names and theirs.names:
        if ours.names != theirs.names:
            raise UsageError(f"classes of {theirs.owner} {_difference(ours.names, theirs.names, ours.owner)}. {remedy}")
        return ""
    if not len(ours.occurring) or not len(theirs.occurring):
        return ""
    _compare_numbers(ours, theirs, remedy)
    if not ours.names and not theirs.names:
        return ""
    named, other = (ours, theirs) if ours.names else (theirs, ours)
    return f"classes of {other.owner} have no names: they are compared with those of {named.owner} by number alone"


def counting_warning(labels: LabelSet) -> str:
    """What is to be said of labels that seem to count from 1, as those of UCF101's own files do; else nothing."""
    if not labels.seems_to_count_from_one:
        return ""
    highest = labels.occurring[-1]
    return (
        f"{labels.owner} has no video of class 0, and some of each class from 1 to {highest}: if it counts classes "
        "from 1, every label is off by one. Then rewrite it: vtdl lists convert LIST --from-one --out ..."
    )


def _difference(ours: list[str], theirs: list[str], owner: str) -> str:
    """In which way names differ from those of `owner`, with an example."""
    missing = [name for name in ours if name not in set(theirs)]
    added = [name for name in theirs if name not in set(ours)]
    if missing or added:
        parts = [f"{verb} {_some(names)}" for verb, names in (("they lack", missing), ("they add", added)) if names]
        return f"are not those of {owner}: {', and '.join(parts)}"
    number = next(number for number, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
    return (
        f"are those of {owner} in another order: class {number} is '{theirs[number]}' here and '{ours[number]}' there"
    )


def _some(names: list[str]) -> str:
    return f"'{names[0]}'" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _compare_numbers(ours: LabelSet, theirs: LabelSet, remedy: str) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        if one.seems_to_count_from_one and np.array_equal(one.occurring, other.occurring + 1):
            raise UsageError(
                f"classes of {one.owner} go from 1 to {one.occurring[-1]}, those of {other.owner} from 0 to "
                f"{other.occurring[-1]}: one counts from 1, and every label would be off by one. "
                "Rewrite its list: vtdl lists convert LIST --from-one --out ..."
            )
        if other.names and one.occurring[-1] >= len(other.names):
            raise UsageError(
                f"classes of {one.owner} go up to {one.occurring[-1]}, but {other.owner} names {len(other.names)}, "
                f"0 to {len(other.names) - 1}. {remedy}"
            )
