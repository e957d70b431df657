"""The temporal annotations of UCF-Crime: which intervals of its test videos show the crime."""

import re

from vtdl_cli.data.lists.entries import Entry, check_interval, rows_of_entries
from vtdl_cli.data.lists.list_file import ListFile
from vtdl_cli.data.lists.rows import ListRows
from vtdl_cli.errors import ListError

UCF_CRIME_FRAME_RATE = 30.0
"""Frames per second of every video of UCF-Crime (Sultani et al., CVPR 2018, section 5)."""

_TEMPORAL = re.compile(r"(\S+)\s+([A-Za-z]\w*)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})")


def is_ucf_crime(file: ListFile) -> bool:
    """Whether each line is `<video>.mp4  <class>  <start> <end> <start> <end>`, in frames, -1 for no interval."""
    first = next(
        (line.strip() for line in file.content[:4096].decode(errors="ignore").splitlines() if line.strip()), ""
    )
    return _TEMPORAL.fullmatch(first) is not None and file.source.suffix.lower() != ".csv"


def read_ucf_crime(file: ListFile) -> ListRows:
    """Read the temporal annotations of UCF-Crime: up to two intervals a video, in frames from 1, both inclusive.

    Raises:
        ListError: a line is malformed.
    """
    entries = []
    for number, line in enumerate(file.text.splitlines(), start=1):
        if not line.strip():
            continue
        if not (words := _TEMPORAL.fullmatch(line.strip())):
            rule = "which is not '<video> <class> <start> <end> <start> <end>'"
            raise ListError(f"{file.line(number)} reads '{line.strip()}', {rule}. Correct the line")
        name, label, *frames = words.groups()
        pairs = [(int(first), int(last)) for first, last in (frames[:2], frames[2:]) if int(first) >= 0]
        for first, last in pairs:
            interval = ((max(first, 1) - 1) / UCF_CRIME_FRAME_RATE, last / UCF_CRIME_FRAME_RATE)
            entries.append(Entry(number, name, label, 0, check_interval(file, number, *interval)))
        if not pairs:
            entries.append(Entry(number, name, label))
    return rows_of_entries(file, "ucf-crime: path, class, intervals in frames of 1/30 s", entries)
