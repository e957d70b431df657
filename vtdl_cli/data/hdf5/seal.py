"""A seal at the start of an HDF5 file: the checksum of all bytes that are not rows of numbers.

Where HDF5 keeps text it has no checksums of its own, and damage there can make it search for ever: the seal is read
before HDF5 opens the file. It stands in the user block, which HDF5 leaves to whoever writes a file.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

SEAL_BYTES = 512  # the smallest user block
MARK = b"vtdl rows "
SEAL_BLOCK_BYTES = 2**20

Extent = tuple[int, int]
"""Where rows lie in a file: the first byte, and the first after them."""


def write_seal(path: Path, rows: Sequence[Extent]) -> None:
    """Seal a file whose user block is free.

    Args:
        path: the file.
        rows: what is left out, as it has checksums of its own.
    """
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        seal = {"bytes": size, "rows": sorted(rows), "others": _checksum(file, size, rows)}
        content = json.dumps(seal).encode()
        file.seek(0)
        file.write((MARK + b"%08x " % zlib.crc32(content) + content + b"\n").ljust(SEAL_BYTES))


def is_sealed(path: Path) -> bool:
    """Hold a file to its seal; False where it has none.

    Raises:
        ValueError: it is not as it was sealed.
    """
    with path.open("rb") as file:
        start = file.read(SEAL_BYTES)
        if not start.startswith(MARK):
            return False
        checksum, content = start[len(MARK) :].rstrip().split(b" ", 1)
        if checksum != b"%08x" % zlib.crc32(content):
            raise ValueError
        seal = json.loads(content)
        if seal["bytes"] != file.seek(0, 2) or seal["others"] != _checksum(file, seal["bytes"], seal["rows"]):
            raise ValueError
    return True


def _checksum(file: BinaryIO, size: int, rows: Sequence[Extent]) -> str:
    """CRC-32 of what lies behind the user block, without the rows."""
    value, at = 0, SEAL_BYTES
    for start, end in [*sorted(rows), (size, size)]:
        for block in _blocks(file, at, start):
            value = zlib.crc32(block, value)
        at = end
    return f"{value:08x}"


def _blocks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end and (block := file.read(min(SEAL_BLOCK_BYTES, end - start))):
        start += len(block)
        yield block
