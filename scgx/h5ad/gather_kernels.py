"""Compiled loops that pick rows out of a buffer of stored entries, checking what they trust.

The buffer holds runs of a CSR matrix as they lie on disk; a batch is its rows in another order, columns
renamed by a table (-1: left out, -2: outside). numpy would need an index as large as the entries. All
of them let go of the GIL, and are compiled once per machine.
"""

import numpy as np

from scgx.h5ad.compiled import compiled

Array = np.ndarray

ORDERED, UNORDERED, OUTSIDE, TWICE = 0, 1, 2, 3
_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACE = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    _PLACE[((0x03F79D71B4CB0A89 << _bit) & 0xFFFFFFFFFFFFFFFF) >> 58] = _bit


@compiled
def copy_rows(
    indices: Array,
    data: Array,
    starts: Array,
    lengths: Array,
    bound: int,
    indptr: Array,
    columns: Array,
    values: Array,
) -> int:
    """Rows as they are. ORDERED, or why not: entries UNORDERED, or an index OUTSIDE of 0..bound."""
    at = 0
    indptr[0] = 0
    for row in range(len(starts)):
        start, length = starts[row], lengths[row]
        source, numbers = indices[start : start + length], data[start : start + length]
        target, out = columns[at : at + length], values[at : at + length]
        falls, before = False, np.int32(-1)
        for j in range(length):
            column = source[j]
            falls |= column <= before
            before = column
            target[j] = column
            out[j] = numbers[j]
        if falls:
            return UNORDERED
        if before >= bound:
            return OUTSIDE
        at += length
        indptr[row + 1] = at
    return ORDERED


@compiled
def rename_rows(
    indices: Array,
    data: Array,
    starts: Array,
    lengths: Array,
    which: Array,
    tables: Array,
    indptr: Array,
    columns: Array,
    values: Array,
) -> int:
    """Rows with columns renamed by `tables[which[row]]`, which keeps their order.

    One place more than entries is written to. Loops without a way out are what compilers are good at:
    an entry is written before it is known whether it stays.
    """
    at = 0
    indptr[0] = 0
    bound = tables.shape[1]
    for row in range(len(starts)):
        start, length = starts[row], lengths[row]
        table = tables[which[row]]
        source, numbers = indices[start : start + length], data[start : start + length]
        target, out = columns[at:], values[at:]
        falls, before = False, np.int32(-1)
        for j in range(length):
            falls |= source[j] <= before
            before = source[j]
        if falls:
            return UNORDERED
        if before >= bound:
            return OUTSIDE
        kept, lowest = np.uint64(0), np.int32(0)
        for j in range(length):
            renamed = table[np.uint32(source[j])]
            lowest = min(lowest, renamed)
            target[kept] = renamed
            out[kept] = numbers[j]
            kept += np.uint64(renamed >= 0)
        if lowest < -1:
            return OUTSIDE
        at += np.int64(kept)  # type: ignore[assignment]
        indptr[row + 1] = at
    return ORDERED


@compiled
def sort_rows(
    indices: Array,
    data: Array,
    starts: Array,
    lengths: Array,
    which: Array,
    tables: Array,
    width: int,
    indptr: Array,
    columns: Array,
    values: Array,
) -> int:
    """The same whatever the order of entries and names; an entry stored TWICE is told.

    A row is spread over a bit per column, which gives its entries back in order: linear, where sorting
    is not.
    """
    at = 0
    indptr[0] = 0
    bound = tables.shape[1]
    words = np.zeros(width // 64 + 1, dtype=np.uint64)
    spread = np.empty(width, dtype=values.dtype)
    one = np.uint64(1)
    for row in range(len(starts)):
        table = tables[which[row]]
        for j in range(starts[row], starts[row] + lengths[row]):
            column = indices[j]
            if column < 0 or column >= bound:
                return OUTSIDE
            renamed = table[column]
            if renamed < -1:
                return OUTSIDE
            if renamed >= 0:
                bit = one << np.uint64(renamed & 63)
                if words[renamed >> 6] & bit:
                    return TWICE
                words[renamed >> 6] |= bit
                spread[renamed] = data[j]
        for word in range(len(words)):
            left = words[word]
            words[word] = 0
            while left:
                low = left & (~left + one)
                left ^= low
                column = (word << 6) + _PLACE[(low * _BRUIJN) >> np.uint64(58)]
                columns[at] = column
                values[at] = spread[column]
                at += 1
        indptr[row + 1] = at
    return ORDERED


@compiled
def densify(indptr: Array, columns: Array, values: Array, out: Array) -> None:
    """CSR rows into a dense array of the same shape, zeroes included."""
    for row in range(len(indptr) - 1):
        line = out[row]
        line[:] = 0
        for j in range(indptr[row], indptr[row + 1]):
            line[columns[j]] = values[j]


@compiled
def fletcher_agrees(raw: Array) -> bool:
    """Do the last four bytes of a chunk check the others (HDF5's fletcher32)?

    As in `slabs`: little-endian words, whose sum modulo 65,535 is that of the swapped ones divided by
    256. Under 2^24 words nothing overflows before the end.
    """
    size = len(raw) - 4
    once, twice = np.uint64(0), np.uint64(0)
    for i in range(0, size - 1, 2):
        once += np.uint64(raw[i]) | (np.uint64(raw[i + 1]) << np.uint64(8))
        twice += once
    if size % 2:
        once += np.uint64(raw[size - 1])
        twice += once
    low = np.uint64(raw[size]) | (np.uint64(raw[size + 1]) << np.uint64(8))
    high = np.uint64(raw[size + 2]) | (np.uint64(raw[size + 3]) << np.uint64(8))
    top = np.uint64(65_535)
    scale = np.uint64(256)
    return (scale * (once % top)) % top == low % top and (scale * (twice % top)) % top == high % top


@compiled
def unshuffle(planes: Array, out: Array) -> None:
    """Undo HDF5's shuffle: all first bytes, all second bytes, ... (width, n) to values (n, width)."""
    for i in range(planes.shape[1]):
        for k in range(planes.shape[0]):
            out[i, k] = planes[k, i]
