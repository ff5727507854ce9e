"""The layout of a text matrix: its separator, its first line, and how the names in it are spelled.

    gene  c1  c2        a first header cell, empty or not
    c1    c2            or none: R's write.table, one short
    "c1","c2"           quoted or not, tab, comma, semicolon or blank between

Nothing is guessed from the name of the file. A header of numbers, some of them alike, is a row without
a header; a first line that fits the second in no way is refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scgx.errors import InputError
from scgx.h5ad import sniff, text_stream
from scgx.h5ad.names import make_unique
from scgx.progress import warn

_SEPARATORS = (b"\t", b",", b";", b" ")
_WORDS = {b"\t": "tab", b",": "comma", b";": "semicolon", b" ": "blank"}
_DATE = re.compile(r"\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)", re.I)
_GENE = re.compile(r"ENS[A-Z]*G\d{6,}(?:\.\d+)?(?:_PAR_Y)?")
_NUMBER = re.compile(rb'"?-?\d+(?:\.\d+)?(?:[eE]-?\d+)?"?\r?')


@dataclass(frozen=True)
class Layout:
    """`separator`: one byte. `corner` and `columns` as they are spelled, quotes included.

    `line`: bytes of the first line of values, to go by.
    """

    separator: bytes
    corner: bytes
    columns: Sequence[bytes]
    line: int

    @property
    def width(self) -> int:
        """Values per line."""
        return len(self.columns)


def begin(pieces: Iterator[bytes], most: int, name: str) -> tuple[Layout, Iterator[bytes]]:
    """The layout of a text, and its bytes from the second line on.

    `most`: bytes of the first two lines. InputError (3) for what is no matrix.
    """
    start = b""
    for piece in pieces:
        start += piece
        if start.count(b"\n") > 1:
            break
        if len(start) > most:
            raise text_stream.too_long(most, name)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("is UTF-16", fix="iconv -f UTF-16 -t UTF-8", file=name)
    kind = sniff.text_kind(start[:4096])
    if kind != "text":
        raise InputError(f"is {kind} and no text matrix", file=name)
    start = start.removeprefix(b"\xef\xbb\xbf")
    first, feed, rest = start.partition(b"\n")
    if not feed and b"\r" in first:
        raise InputError("ends its lines with CR alone", fix="tr '\\r' '\\n'", file=name)
    second = rest.partition(b"\n")[0].removesuffix(b"\r")
    if not second:
        raise InputError("has a first line and no values", file=name)
    layout = _layout(first.removesuffix(b"\r"), second, name)
    _check(layout, name)
    return layout, _chain(rest, pieces)


def _chain(rest: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield rest
    yield from pieces


def _layout(first: bytes, second: bytes, name: str) -> Layout:
    """The separator that makes most columns of both lines; a decimal comma makes fewer."""
    both = [(mark, fields(first, mark), fields(second, mark)) for mark in _SEPARATORS]
    fitting = [layout for lines in both if (layout := _fit(*lines)) is not None]
    if fitting:
        return max(fitting, key=lambda layout: layout.width)
    if any(header is None or row is None for _, header, row in both):
        raise InputError("a quote is not closed on line 1 or 2", file=name)
    mark, header, row = max(both, key=lambda lines: len(lines[2] or ()))
    if not header or not row or len(row) < 2:
        raise InputError("has no tabs, commas, semicolons or blanks between values", file=name)
    what = f"line 1 has {len(header):,} fields ({_WORDS[mark]}) and line 2 has {len(row):,}"
    raise InputError(what, fix="the first line has to name the columns", file=name)


def _fit(mark: bytes, header: list[bytes] | None, row: list[bytes] | None) -> Layout | None:
    """The layout if two lines fit each other: as many fields, or one less in the first."""
    if not header or not row or len(row) < 2 or not 0 <= len(row) - len(header) <= 1:
        return None
    line = sum(map(len, row)) + len(row)
    if len(header) == len(row):
        return Layout(mark, header[0], header[1:], line)
    return Layout(mark, b"", header, line)


def fields(line: bytes, separator: bytes) -> list[bytes] | None:
    """The fields of a line as they are spelled; None where a quote does not close at a separator."""
    if b'"' not in line:
        return line.split(separator)
    found, i = [], 0
    while True:
        after = i
        if line[i : i + 1] == b'"':
            after = line.find(b'"', i + 1)
            while after >= 0 and line[after + 1 : after + 2] == b'"':
                after = line.find(b'"', after + 2)
            if after < 0 or line[after + 1 : after + 2] not in (separator, b""):
                return None
        stop = line.find(separator, after)
        if stop < 0:
            found.append(line[i:])
            return found
        found.append(line[i:stop])
        i = stop + 1


def _check(layout: Layout, name: str) -> None:
    """Refuse a first line that is a row of values, or that leaves a column without a name."""
    empty = [i for i, word in enumerate(layout.columns) if word.strip(b' "') == b""]
    if empty:
        what = f"line 1 has no name for column {empty[0] + 1:,} of {layout.width:,}"
        raise InputError(what, fix="do lines end in a separator?", file=name)
    alike = len(set(layout.columns)) < layout.width
    if alike and all(_NUMBER.fullmatch(word) for word in layout.columns):
        fix = "add a first line that names the columns"
        raise InputError("line 1 holds numbers where names should be", fix=fix, file=name)


def unquoted(words: Sequence[bytes], name: str) -> np.ndarray:
    """Names as str: without quotes, from UTF-8, or from Latin-1 where they are not UTF-8."""
    if any(word.startswith(b'"') for word in words):
        words = [
            word[1:-1].replace(b'""', b'"') if word[:1] == b'"' == word[-1:] else word
            for word in words
        ]
    try:
        return np.array([word.decode() for word in words], dtype=object)
    except UnicodeDecodeError:
        warn(f"{name}: names that are not UTF-8 are read as Latin-1")
        return np.array([word.decode("latin-1") for word in words], dtype=object)


def report_repeats(names: Sequence[Any], what: str, place: str, first: int) -> int:
    """Say which names occur more than once, and where; returns how many entries repeat one.

    `place`: "line" or "column"; `first`: the number of the first name.
    """
    again = _repeats(names)
    if not again:
        return 0
    one, other = again[0]
    word = names[one]
    shown = word.decode("utf-8", "replace") if isinstance(word, bytes) else word
    where = f"{what} {shown!r} is on {place}s {one + first:,} and {other + first:,}"
    more = f", and {len(again) - 1:,} others repeat too" if len(again) > 1 else ""
    warn(f"{where}{more}")
    return len(again)


def _repeats(names: Sequence[Any]) -> list[tuple[int, int]]:
    """Where names occur first and again. Millions are compared by their hashes, in little memory."""
    codes = np.fromiter(map(hash, names), dtype=np.int64, count=len(names))
    order = np.argsort(codes, kind="stable")
    alike = np.flatnonzero(codes[order[1:]] == codes[order[:-1]])
    seen: dict[Any, int] = {}
    again = []
    for i in sorted({*order[alike].tolist(), *order[alike + 1].tolist()}):
        if seen.setdefault(names[i], i) != i:
            again.append((seen[names[i]], i))
    return again


def with_suffixes(names: np.ndarray, what: str, place: str, first: int) -> np.ndarray:
    """Names made unique, as AnnData does it, after repeats were reported."""
    if not report_repeats(names.tolist(), what, place, first):
        return names
    warn(f"repeated names of {what}s got -1, -2 ...")
    return make_unique(names)


def report_dates(names: np.ndarray, first: int) -> None:
    """Say which genes a spreadsheet has turned into dates (MARCH1 into 1-Mar)."""
    short = (i for i, name in enumerate(names.tolist()) if "-" in name[1:3])
    dates = [i for i in short if _DATE.fullmatch(names[i])]
    if dates:
        one = f"{names[dates[0]]!r} on line {dates[0] + first:,}"
        warn(f"{len(dates):,} genes look like dates, as a spreadsheet makes of MARCH1: {one}")


def identities(names: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """`ENSG|SYMBOL` (or the other way round) as ids and symbols; else the names, and None.

    Where nine names in ten are such pairs, one that is not keeps its name as both.
    """
    if sum("|" in name for name in names[:100].tolist()) < 0.5 * len(names[:100]):
        return names, None
    pairs = [name.split("|") for name in names.tolist()]
    side = next((side for side in (0, 1) if _mostly_ids(pairs, side)), None)
    if side is None:
        return names, None
    found = [p if len(p) == 2 and _GENE.fullmatch(p[side]) else None for p in pairs]
    ids = [p[side] if p else name for p, name in zip(found, names)]
    symbols = [p[1 - side] if p else name for p, name in zip(found, names)]
    return np.array(ids, dtype=object), np.array(symbols, dtype=object)


def _mostly_ids(pairs: list[list[str]], side: int) -> bool:
    count = sum(len(pair) == 2 and bool(_GENE.fullmatch(pair[side])) for pair in pairs)
    return count > 0 and count >= 0.9 * len(pairs)
