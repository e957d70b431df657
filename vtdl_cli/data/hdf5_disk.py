"""The file under an HDF5 file that is being written: where the disk is full, HDF5 does not hear of it.

Of a write that fails HDF5 makes tracebacks, and as the process ends a segmentation fault. So whatever is written after
the first failure is dropped, and whoever writes asks at the end whether there was one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vtdl_cli.runtime import StopRequest


class ForgivingFile:
    """What h5py asks of a file-like object.

    Args:
        file: open for reading and writing, unbuffered.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.read, self.seek, self.tell, self.flush = file.read, file.seek, file.tell, file.flush

    def write(self, content: memoryview) -> int:
        """Write all of it, where the file stands."""
        left = memoryview(content)
        try:
            while left and self._error is None:  # a nearly full disk takes a part
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        return len(content)

    def truncate(self, size: int) -> int:
        """Cut it short, or make it longer."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if any."""
        if self._error is not None:
            raise self._error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait until the end of this block: in the midst of a write, HDF5 would take one for a failure."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in StopRequest.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)
