"""What happens to files on disks and on the way: bits that flip, blocks that are zeroed, swapped or lost."""

from collections.abc import Iterator

BLOCK = 4096  # bytes that disks write at a time
NUM_FLIPS = 40


def damages(whole: bytes) -> Iterator[bytes]:
    """The content, damaged in one place each time, in places spread evenly over it."""
    for number in range(NUM_FLIPS):
        at = len(whole) * number // NUM_FLIPS
        yield whole[:at] + bytes([whole[at] ^ (1 << number % 8)]) + whole[at + 1 :]
    block = min(BLOCK, len(whole) // 6)
    for third in range(3):
        at = len(whole) * third // 3
        other = (at + len(whole) // 2) % (len(whole) - block)
        first, second = sorted((at, other))
        yield whole[:at] + bytes(block) + whole[at + block :]
        yield whole[: len(whole) * (third + 1) // 4]
        swapped = whole[second : second + block] + whole[first + block : second] + whole[first : first + block]
        yield whole[:first] + swapped + whole[second + block :]
