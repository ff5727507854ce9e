"""Compiled loops over the bytes of a text matrix: where its fields end, and what numbers they are.

A block is whole lines, the last byte a line feed, so that no loop needs to look for its end. Counts
are mostly single digits, which leave before anything general is asked. All of them let go of the GIL,
and are compiled once per machine.
"""

import numpy as np

from scgx.h5ad.compiled import compiled

Array = np.ndarray

OK, RAGGED, QUOTE, FOREIGN, NO_NUMBER, EMPTY = 0, 1, 2, 3, 4, 5
"""What may be wrong with a line: `FOREIGN` is the separator to come inside an unquoted value."""

ROWS, FAULT, LINE, COLUMN, START, STOP, MISSING, MISSING_LINE, MISSING_COLUMN, FLOATS, SLOW = range(
    11
)
"""Places in the tally of a block."""

_TAB, _LF, _CR, _SPACE, _QUOTE = 9, 10, 13, 32, 34
_TILE = 512
_WHOLE, _FLOAT, _LATER, _ABSENT, _NONE = 0, 1, 2, 3, 4
_EXACT = np.uint64(1 << 53)
_ROOM = np.uint64(10**18)
_POWERS = 10.0 ** np.arange(23)


@compiled
def _past_quotes(buf: Array, i: int) -> int:
    """The place after the closing quote of a field that opens at i; -1 where the line ends first."""
    i += 1
    while buf[i] != _LF:
        if buf[i] == _QUOTE:
            if buf[i + 1] != _QUOTE:
                return i + 1
            i += 1
        i += 1
    return -1


@compiled
def measure(
    buf: Array,
    separator: int,
    foreign: int,
    width: int,
    starts: Array,
    names: Array,
    lengths: Array,
    tally: Array,
) -> None:
    """Check the lines of a block and add up what each column takes, a separator per value included.

    Writes where each line starts and its name ends.
    """
    i, row, n = 0, 0, len(buf)
    while i < n:
        starts[row] = i
        column = -1
        while True:
            if 48 <= buf[i] <= 57 and buf[i + 1] == separator and 0 <= column < width:
                lengths[column] += 2
                column += 1
                i += 2
                continue
            start = i
            if buf[i] == _QUOTE:
                i = _past_quotes(buf, i)
                if i < 0:
                    tally[FAULT], tally[LINE] = QUOTE, row
                    return
            while buf[i] != separator and buf[i] != _LF:
                if buf[i] == foreign and column >= 0:
                    tally[FAULT], tally[LINE], tally[COLUMN] = FOREIGN, row, column
                    return
                i += 1
            stop = i
            if buf[i] == _LF and stop > start and buf[stop - 1] == _CR:
                stop -= 1
            if column < 0:
                names[row] = stop
            elif column < width:
                lengths[column] += stop - start + 1
            column += 1
            i += 1
            if buf[i - 1] == _LF:
                break
        if column != width:
            tally[FAULT], tally[LINE], tally[COLUMN] = RAGGED, row, column + 1
            if column == 0 and names[row] == starts[row]:
                tally[FAULT] = EMPTY
            return
        row += 1
        tally[ROWS] = row


@compiled
def spread(
    buf: Array, separator: int, mark: int, width: int, cursors: Array, places: Array, out: Array
) -> None:
    """Write the values of each column side by side, each after a `mark`.

    `cursors` say where the first value of each line starts, `places` where each column begins in
    `out`; both move on. A tile of columns at a time, whose ends stay in the processor's cache.
    """
    for first in range(0, width, _TILE):
        last = min(first + _TILE, width)
        for row in range(len(cursors)):
            i = cursors[row]
            for column in range(first, last):
                place = places[column]
                out[place] = mark
                if 48 <= buf[i] <= 57 and buf[i + 1] == separator:
                    out[place + 1] = buf[i]
                    places[column] = place + 2
                    i += 2
                    continue
                place += 1
                if buf[i] == _QUOTE:
                    stop = _past_quotes(buf, i)
                    while i < stop:
                        out[place] = buf[i]
                        place += 1
                        i += 1
                while buf[i] != separator and buf[i] != _LF:
                    out[place] = buf[i]
                    place += 1
                    i += 1
                if buf[i] == _LF and buf[i - 1] == _CR:
                    place -= 1
                places[column] = place
                i += 1
            cursors[row] = i


@compiled
def gather(pieces: Array, starts: Array, names: Array, name_ends: Array, out: Array) -> int:
    """Lines out of pieces: of each column its name, then what every block holds of it, then a feed.

    `starts` (blocks x columns + 1) says where in `pieces` a block's part of a column begins.
    """
    at, name = 0, 0
    for column in range(starts.shape[1] - 1):
        while name < name_ends[column]:
            out[at] = names[name]
            at += 1
            name += 1
        for block in range(starts.shape[0]):
            start, stop = starts[block, column], starts[block, column + 1]
            out[at : at + stop - start] = pieces[start:stop]
            at += stop - start
        out[at] = _LF
        at += 1
    return at


@compiled
def parse(
    buf: Array,
    separator: int,
    width: int,
    starts: Array,
    names: Array,
    ends: Array,
    columns: Array,
    values: Array,
    later: Array,
    tally: Array,
) -> None:
    """The values of a block that are not zero, line by line.

    `ends` says where each line's entries end; `later` (entry, start, stop) lists the numbers with more
    digits than can be turned exactly here.
    """
    i, row, at, n = 0, 0, 0, len(buf)
    while i < n:
        starts[row] = i
        if buf[i] == _QUOTE:
            i = _past_quotes(buf, i)
            if i < 0:
                tally[FAULT], tally[LINE] = QUOTE, row
                return
        while buf[i] != separator and buf[i] != _LF:
            i += 1
        stop = i
        if buf[i] == _LF and stop > starts[row] and buf[stop - 1] == _CR:
            stop -= 1
        names[row] = stop
        column = 0
        while buf[i] != _LF:
            i += 1
            following = buf[i + 1] if buf[i] != _LF else separator
            if 48 <= buf[i] <= 57 and following in (separator, _LF):
                if buf[i] != 48 and column < width:
                    columns[at] = column
                    values[at] = buf[i] - 48
                    at += 1
                column += 1
                i += 1
                continue
            start = i
            if buf[i] == _QUOTE:
                i = _past_quotes(buf, i)
                if i < 0:
                    tally[FAULT], tally[LINE] = QUOTE, row
                    return
            while buf[i] != separator and buf[i] != _LF:
                i += 1
            if column < width:
                kind, value = _number(buf, start, i)
                if kind == _NONE:
                    tally[FAULT], tally[LINE], tally[COLUMN] = NO_NUMBER, row, column
                    tally[START], tally[STOP] = start, i
                    return
                if kind == _ABSENT:
                    if tally[MISSING] == 0:
                        tally[MISSING_LINE], tally[MISSING_COLUMN] = row, column
                    tally[MISSING] += 1
                elif kind == _LATER:
                    slow = tally[SLOW]
                    later[slow, 0], later[slow, 1], later[slow, 2] = at, start, i
                    tally[SLOW] += 1
                if kind == _FLOAT:
                    tally[FLOATS] = 1
                if kind == _LATER or (kind != _ABSENT and value != 0):
                    columns[at] = column
                    values[at] = value
                    at += 1
            column += 1
        if column != width:
            tally[FAULT], tally[LINE], tally[COLUMN] = RAGGED, row, column + 1
            if column == 0 and names[row] == starts[row]:
                tally[FAULT] = EMPTY
            return
        ends[row] = at
        row += 1
        i += 1
        tally[ROWS] = row


@compiled
def _number(buf: Array, start: int, stop: int) -> tuple[int, float]:
    """Of which kind a field is, and its value where it is exact in double precision.

    A whole number up to 2^53, or such a number times or over a power of ten up to 10^22, is exact
    (Clinger 1990): that is nearly every number in nearly every matrix.
    """
    while start < stop and (buf[stop - 1] == _CR or buf[stop - 1] == _SPACE):
        stop -= 1
    while start < stop and buf[start] == _SPACE:
        start += 1
    if stop - start >= 2 and buf[start] == _QUOTE and buf[stop - 1] == _QUOTE:
        start += 1
        stop -= 1
    i = start
    if i < stop and (buf[i] == 45 or buf[i] == 43):
        i += 1
    digits, scale, dotted, lost, mantissa = 0, 0, False, False, np.uint64(0)
    while i < stop:
        if 48 <= buf[i] <= 57:
            digits += 1
            if mantissa < _ROOM:
                mantissa = mantissa * np.uint64(10) + np.uint64(buf[i] - 48)
                scale -= dotted
            else:
                scale += not dotted
                lost = lost or buf[i] != 48
        elif buf[i] == 46 and not dotted:
            dotted = True
        else:
            break
        i += 1
    whole = not dotted
    if digits and i < stop and (buf[i] == 101 or buf[i] == 69):
        whole = False
        i += 1
        falls = i < stop and buf[i] == 45
        if i < stop and (buf[i] == 45 or buf[i] == 43):
            i += 1
        power, digits = 0, 0
        while i < stop and 48 <= buf[i] <= 57:
            power = min(power * 10 + buf[i] - 48, 99_999)
            digits += 1
            i += 1
        scale += -power if falls else power
    if digits == 0 or i < stop:
        return (_ABSENT if _is_missing(buf, start, stop) else _NONE), 0.0
    kind = _WHOLE if whole else _FLOAT
    if mantissa == 0:
        return kind, 0.0
    if lost or mantissa > _EXACT or (whole and scale) or scale < -22 or scale > 22:
        return _LATER, 0.0
    value = float(mantissa)
    value = value * _POWERS[scale] if scale >= 0 else value / _POWERS[-scale]
    return kind, (-value if buf[start] == 45 else value)


@compiled
def _is_missing(buf: Array, start: int, stop: int) -> bool:
    """Nothing at all, NA, NaN, N/A, null or none, in any case."""
    n = stop - start
    if n == 0:
        return True
    a = buf[start] | 32
    b = buf[start + 1] | 32 if n > 1 else 0
    c = buf[start + 2] | 32 if n > 2 else 0
    d = buf[start + 3] | 32 if n > 3 else 0
    if a != 110:
        return False
    if n == 2:
        return b == 97
    if n == 3:
        return (b == 97 and c == 110) or (b == 47 and c == 97)
    if n == 4:
        return (b == 117 and c == 108 and d == 108) or (b == 111 and c == 110 and d == 101)
    return False


@compiled
def by_column(
    ends: Array, columns: Array, values: Array, first: int, indptr: Array, rows: Array, data: Array
) -> None:
    """The entries of lines as entries of columns: `rows` count from `first`, in order."""
    for j in range(len(columns)):
        indptr[columns[j] + 1] += 1
    for column in range(len(indptr) - 1):
        indptr[column + 1] += indptr[column]
    free = indptr[:-1].copy()
    j = 0
    for row in range(len(ends)):
        while j < ends[row]:
            place = free[columns[j]]
            rows[place] = first + row
            data[place] = values[j]
            free[columns[j]] = place + 1
            j += 1
