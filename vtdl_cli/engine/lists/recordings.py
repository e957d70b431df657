"""Recordings that were cut into several clips, as far as file names tell."""

import re
from collections.abc import Iterable, Mapping

RECORDING = r"^(.+?)([_ .-](c|part|clip|scene|shot|seg|segment|chunk|cut)[_-]?[0-9]+)?(\.[^.]*)?$"
"""A regex for --group-by: its first group is a file name without the number of a clip, of v_Run_g01_c02.avi and
clip1_part2.mp4 as of names without one."""


def find_recordings_on_several(sides: Mapping[str, Iterable[str]], num_classes: int) -> list[str]:
    """Find recordings that have numbered clips on several sides, by their file names.

    Where there are no more of them than classes, as for walk_clip1 and run_clip1, the numbers are those of a class.

    Args:
        sides: the paths of the videos of each side.
        num_classes: classes that have videos.
    """
    found: dict[str, set[str]] = {}
    for side, names in sides.items():
        for name in names:
            match = re.search(RECORDING, name.rpartition("/")[2])
            if match and match[2]:
                found.setdefault(match[1], set()).add(side)
    return [key for key, on in found.items() if len(on) > 1] if len(found) > num_classes else []
