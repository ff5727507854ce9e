"""Where HDF5 keeps strings of variable length: heaps of numbered objects, one behind the other.

libhdf5 (2.0 and before) trusts the sizes in them, and loops for ever over one that is 0, which is what
a zeroed block looks like. So they are walked before it sees them, in files small enough that this costs
nothing. Layout: HDF5 File Format Specification, III.E "Global Heap".
"""

from pathlib import Path

from scgx.errors import InputError

_MARK = b"GCOL\x01\x00\x00\x00"
_HEAD = 16  # of a heap and of each object in it: number (2), references (2), zeros (4), size (8)
_SMALL = 16 << 20


def check(path: Path, name: str) -> None:
    """InputError for a heap on which HDF5 would hang."""
    if path.stat().st_size > _SMALL:
        return
    image = path.read_bytes()
    start = image.find(_MARK)
    while start >= 0:
        end = start + int.from_bytes(image[start + 8 : start + 16], "little")
        if end <= len(image) and not _ends(image, start + _HEAD, end):
            raise InputError("corrupt: a heap of strings is damaged", file=name)
        start = image.find(_MARK, start + _HEAD)


def _ends(image: bytes, place: int, end: int) -> bool:
    """Does the walk over the objects of a heap come to its end?"""
    while place + _HEAD <= end:
        size = int.from_bytes(image[place + 8 : place + 16], "little")
        free = image[place] == 0 and image[place + 1] == 0  # its size includes its head
        step = size if free else _HEAD + (size + 7) // 8 * 8
        if step == 0:
            return False
        place += step
    return True
