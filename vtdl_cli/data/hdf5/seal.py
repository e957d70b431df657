"""The seal at the start of an HDF5 file: a checksum of all bytes outside its numeric columns.

HDF5 has no checksums for its metadata and text, and damage there can send it into an endless loop: the seal is
verified before HDF5 opens the file. It is in the user block, which HDF5 does not use itself.
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
"""The byte range of a column in a file: first byte, and first byte after it."""


def write_seal(path: Path, rows: Sequence[Extent]) -> None:
    """Seal a file with an empty user block.

    Args:
        path: the file.
        rows: byte ranges to leave out: numeric columns, which have checksums of their own.
    """
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        seal = {"bytes": size, "rows": sorted(rows), "others": _checksum(file, size, rows)}
        content = json.dumps(seal).encode()
        file.seek(0)
        file.write((MARK + b"%08x " % zlib.crc32(content) + content + b"\n").ljust(SEAL_BYTES))


def is_sealed(path: Path) -> bool:
    """Verify the seal of a file; returns False if it has none.

    Raises:
        ValueError: the file does not match its seal.
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
    """Compute the CRC-32 of the bytes after the user block, without the numeric columns."""
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
