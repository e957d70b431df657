"""Label sets: which classes the numbers in a file stand for, and how two of them are compared.

Before labels of two origins are combined (two lists, a list and a classifier, two files of features or of scores, a run
and what it resumes with), `compare_classes` checks that they mean the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vtdl_cli.data.lists.list_file import counting_from_zero
from vtdl_cli.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The classes of a list, file or network; see `label_set`.

    Attributes:
        owner: names the list, file or network in messages: `list 'lists/val.txt'`.
        names: class names, in the order of their numbers from 0; None if only numbers are known.
        occurring: int64 [K], the class numbers that occur, ascending; empty if no video has a class.
        command_that_converts: the beginning of the command that converts the list that the labels are from, to be
            typed.
    """

    owner: str
    names: list[str] | None
    occurring: NDArray[np.int64]
    command_that_converts: str

    def describe(self, label: int) -> str:
        """Return a class's number, with its name if it has one, for messages."""
        return f"{label} ('{self.names[label]}')" if self.names else str(label)

    @property
    def seems_to_count_from_one(self) -> bool:
        """Whether classes have no names, none is 0, and all from 1 to the highest occur.

        With fewer than two classes this is always false.
        """
        number = len(self.occurring)
        return not self.names and number > 1 and np.array_equal(self.occurring, np.arange(1, number + 1))


ANY_LIST = "vtdl lists convert list.txt --root videos"
"""The beginning of the command that converts a list whose name is not known."""


def label_set(
    owner: str, names: Sequence[str] | None, labels: ArrayLike, command_that_converts: str = ANY_LIST
) -> LabelSet:
    """Return the classes of `owner`.

    Args:
        owner: names the list, file or network in messages.
        names: class names, in the order of their numbers; names that merely repeat the numbers count as none.
        labels: the labels of its videos, or all classes of a network; negative labels are ignored.
        command_that_converts: the beginning of the command that converts the list that the labels are from.
    """
    are_numbers = names is not None and list(names) == [str(number) for number in range(len(names))]
    occurring = np.unique(np.asarray(labels, np.int64))
    known = None if names is None or are_numbers else list(names)
    return LabelSet(owner, known, occurring[occurring >= 0], command_that_converts)


def compare_classes(ours: LabelSet, theirs: LabelSet, remedy: str) -> str:
    """Make sure that a number means the same class in both: they must have the same names, in the same order.

    A subset of the names is refused, because it would be numbered differently; videos of a subset of the classes are
    accepted.

    Args:
        ours: the reference.
        theirs: what is compared with it.
        remedy: what to type next if they differ.

    Returns:
        A warning if one of them has no names and only numbers were compared; otherwise an empty string.

    Raises:
        UsageError: the names differ, or are in another order; or, without names, the numbers cannot be the same
            classes.
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
    return f"classes of {other.owner} have no names: they are compared with those of {named.owner} by number only"


def counting_warning(labels: LabelSet) -> str:
    """Return a warning for labels that seem to count from 1, as in the split files of UCF101; otherwise empty."""
    if not labels.seems_to_count_from_one:
        return ""
    highest, rewrite = labels.occurring[-1], counting_from_zero(labels.command_that_converts)
    return (
        f"{labels.owner} has no video of class 0, but some of each class from 1 to {highest}: if it counts classes "
        f"from 1, every label is off by one. In that case rewrite it: {rewrite}"
    )


def _difference(ours: list[str], theirs: list[str], owner: str) -> str:
    """Describe how names differ from those of `owner`, with an example."""
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
                f"Rewrite its list: {counting_from_zero(one.command_that_converts)}"
            )
        if other.names and one.occurring[-1] >= len(other.names):
            raise UsageError(
                f"classes of {one.owner} go up to {one.occurring[-1]}, but {other.owner} names {len(other.names)}, "
                f"0 to {len(other.names) - 1}. {remedy}"
            )
