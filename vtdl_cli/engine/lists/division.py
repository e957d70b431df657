"""Divide the videos of a folder into lists: by folders that stand for lists, by named groups, or by a random draw."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.layouts import DRAW, FOLDER
from vtdl_cli.data.lists.splits import SIDES, TEST, TRAIN, VAL, Share, check_shares, group_keys, split_videos
from vtdl_cli.engine.lists.classes import FoundVideos
from vtdl_cli.errors import UsageError

VAL_FRACTION = 0.25
"""Of each class, for validation, where no folders stand for lists. Without classes there is nothing to validate."""


@dataclass(frozen=True)
class Division:
    """How N videos are divided.

    Attributes:
        found: the videos.
        held_out: what each list that no folder stands for gets of the training videos.
        group_by: the grouping, see `data.lists.splits.grouping`, or None.
        groups: the key of each video's group [N], or None.
        seed: seed of the draw.
    """

    found: FoundVideos
    held_out: dict[str, Share]
    group_by: str | None
    groups: list[str] | None
    seed: int

    def assign_sides(self, kept: NDArray[np.intp]) -> NDArray[np.str_]:
        """Return the side of each of the videos `kept` [K]."""
        sides = self.found.sides[kept]
        drawn_from = np.flatnonzero(sides == TRAIN)
        indices = kept[drawn_from]
        groups = self.groups and [self.groups[index] for index in indices]
        sides[drawn_from] = split_videos(self.found.labels[indices], groups, self.held_out, self.seed)
        return sides

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that get a list."""
        return tuple(side for side in SIDES if side == TRAIN or side in self.found.sides or self.held_out.get(side))

    @property
    def options(self) -> dict[str, Any]:
        """The options, for the audit."""
        described: dict[str, Any] = {
            "split_from": FOLDER if self.found.layout.sides else DRAW,
            "group_by": self.group_by,
        }
        for side in (VAL, TEST):
            share = self.held_out.get(side)
            described[f"{side}_fraction"] = share if isinstance(share, float) else None
            described[f"{side}_groups"] = [] if share is None or isinstance(share, float) else share
        return described


def divide(found: FoundVideos, asked: Mapping[str, Share | None], group_by: str | None, seed: int) -> Division:
    """Decide how videos are divided.

    Args:
        found: the videos.
        asked: the share that each list is to get; None: `VAL_FRACTION`, or nothing if folders stand for lists or there
            are no classes.
        group_by: a grouping, or None.
        seed: seed of the draw.

    Raises:
        UsageError: a share cannot be assigned, or is asked for of a list that has a folder; groups are named without
            `group_by`, or it does not match a name.
    """
    sides = found.layout.sides
    held_out = _choose_shares(asked, sides, default=VAL_FRACTION if found.classes and not sides else 0.0)
    for side, share in held_out.items():
        if group_by is None and not isinstance(share, float):
            raise UsageError(
                f"--{side}-groups '{next(iter(share))}' is given without a way to find groups. "
                "Add --group-by '^([^_]+)_', or --group-from parent"
            )
    groups = None if group_by is None else group_keys(found.names, group_by)
    check_shares(groups and [groups[index] for index in np.flatnonzero(found.sides == TRAIN)], held_out)
    division = Division(found, held_out, group_by, groups, seed)
    _refuse_whole_classes(division)
    return division


def _choose_shares(asked: Mapping[str, Share | None], sides: Mapping[str, str], default: float) -> dict[str, Share]:
    """Return the share of each list that no folder stands for; `sides` are the folders that do, and their sides."""
    folders = {side: folder for folder, side in sides.items()}
    for side, share in asked.items():
        if share and side in folders:
            option = (
                f"--{side}-groups {','.join(share)}" if isinstance(share, Collection) else f"--{side}-fraction {share}"
            )
            raise UsageError(
                f"{option} has no meaning: '{folders[side]}' is the {side} list. Leave it out, or add --split-from draw"
            )
    return {
        side: default if share is None else _normalise(share) for side, share in asked.items() if side not in folders
    }


def _normalise(share: Share) -> Share:
    """Return a fraction as a float, and groups with their keys as `group_keys` returns them, each once."""
    return sorted({normalize("NFC", group) for group in share}) if isinstance(share, Collection) else float(share)


def _refuse_whole_classes(division: Division) -> None:
    """Refuse to draw from groups that hold all of their classes, as folders of classes do."""
    draws = any(isinstance(share, float) and share for share in division.held_out.values())
    if division.groups is None or not draws:
        return
    pairs = set(zip(division.found.labels.tolist(), division.groups, strict=True))
    if len(pairs) == len(division.found.classes) > 1:
        raise UsageError(
            f"--group-by '{division.group_by}' finds one group in each class, and a group is kept in one list. Use a "
            "key that differs within a class"
        )
