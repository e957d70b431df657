"""The file below HDF5 while it writes: it hides a full disk from HDF5.

After a failed write, HDF5 prints tracebacks and crashes with a segmentation fault when the process exits. So this file
drops everything after the first error, and the caller checks for one. Nor is it an error that the file was closed
first, as it is where a second Ctrl-C ends the first one's clean-up: HDF5 writes what is left when it is deallocated.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vtdl_cli.system import STOP_SIGNALS


class ErrorTolerantFile:
    """A file-like object for h5py that keeps the first error instead of raising it.

    Args:
        file: open for reading and writing, unbuffered.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Read at the current position; what was not written is zeros, where HDF5 would take what its memory holds."""
        return self._file.read(size).ljust(size if self._error else 0, b"\0")

    def seek(self, position: int, whence: int = 0) -> int:
        """Set the current position."""
        return position if self._file.closed else self._file.seek(position, whence)

    def flush(self) -> None:
        """Hand what was written to the system."""
        if not self._file.closed:
            self._file.flush()

    def write(self, content: memoryview) -> int:
        """Write at the current position."""
        left = memoryview(content)
        try:
            while left and self._error is None and not self._file.closed:  # a nearly full disk takes a part
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        return len(content)

    def truncate(self, size: int) -> int:
        """Resize the file."""
        try:
            if not self._file.closed:
                self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if any."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def first_error(self) -> Iterator[None]:
        """Raise the first error at the end of the block, also in place of what HDF5 makes of writes that it lost."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError):  # h5py's
            self.check()
            raise
        self.check()


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer signals to the end of this block: HDF5 would take one during a write for an error."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in received:
            signal.raise_signal(each)
