"""The lines of a Matrix Market file, parsed in blocks, the first wrong one named by its number.

scipy's compiled parser reads them; it overlooks what follows a number ("6.5" where integers are
announced, a fourth field), so whatever it must not see is looked for first, and a block that has it
is read line by line.
Format: NIST, "Text File Formats: Matrix Market exchange formats".
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from scipy import sparse
from scipy.io import mmread

from scgx.errors import DataError, InputError
from scgx.h5ad.mtx_names import open_plain
from scgx.h5ad.threads import ahead

Array = np.ndarray
CHUNK = 4 << 20
_PLACE = rb"[ \t]*([0-9]{1,18})[ \t]+([0-9]{1,18})"
_FLOAT = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_FORMS = {
    "pattern": re.compile(_PLACE + rb"[ \t]*\r?"),
    "integer": re.compile(_PLACE + rb"[ \t]+([-+]?[0-9]{1,40})[ \t]*\r?"),
    "real": re.compile(_PLACE + rb"[ \t]+(" + _FLOAT + rb")[ \t]*\r?"),
}


class Wide(Exception):
    """A value does not fit into 32 bits."""


class Header(NamedTuple):
    """The banner and the size line. `field`: integer, real or pattern (ones)."""

    field: str
    rows: int
    columns: int
    entries: int
    line: int  # number of the first line after it


class Triplets(NamedTuple):
    """A block of lines: row and column (integers, from 0) and value of each."""

    rows: Array
    columns: Array
    values: Array


def read_header(file: BinaryIO, name: str) -> Header:
    """Banner and size; DataError for a kind of matrix that no counts come in."""
    banner = file.readline(200).lower().split()
    if len(banner) != 5 or banner[:2] != [b"%%matrixmarket", b"matrix"]:
        raise InputError("does not begin as Matrix Market does", file=name)
    form, field, symmetry = (word.decode("latin-1") for word in banner[2:])
    field = {"double": "real", "unsigned-integer": "integer"}.get(field, field)
    if form != "coordinate" or field not in ("integer", "real", "pattern"):
        what = f"is Matrix Market of the kind {form} {field}, which counts do not come in"
        raise DataError(what, fix="write it as coordinate, integer or real", file=name)
    if symmetry != "general":
        what = f"is a {symmetry} matrix, and cells x features is none"
        raise DataError(what, fix="write it as general, with both halves", file=name)
    number = 1
    for line in file:
        number += 1
        words = line.split()
        if not words or line.startswith(b"%"):
            continue
        if len(words) != 3 or not all(word.isdigit() for word in words):
            break
        rows, columns, entries = map(int, words)
        if max(rows, columns) >= 2**31 or entries > rows * columns:
            break
        return Header(field, rows, columns, entries, number + 1)
    raise InputError(f"line {number}: no size of a matrix (rows, columns, entries)", file=name)


class Lines:
    """The entries of a file as numbers of one dtype; `Wide` where a value does not fit into it."""

    def __init__(self, path: Path, name: str, header: Header, dtype: np.dtype) -> None:
        self.path, self.name, self.header, self.dtype = path, name, header, dtype

    def blocks(self) -> Iterator[Triplets]:
        """Blocks of lines, read in a thread while the block before is used; their number checked."""
        seen = 0
        for part in ahead(self._parsed()):
            seen += len(part.values)
            if seen > self.header.entries:
                break
            if len(part.values):
                yield part
        if seen != self.header.entries:
            more = "more" if seen > self.header.entries else f"{seen:,}"
            what = f"its matrix has {more} entries where {self.header.entries:,} are announced"
            raise InputError(what, fix="is it cut?", file=self.name)

    def _parsed(self) -> Iterator[Triplets]:
        line, rest = self.header.line, b""
        with open_plain(self.path, self.name) as file:
            for _ in range(self.header.line - 1):
                file.readline()
            while True:
                text = file.read(CHUNK)
                end = text.rfind(b"\n") + 1
                if text and not end:
                    raise InputError(f"line {line:,} has no end", file=self.name)
                chunk = rest + text[:end] if text else rest and rest + b"\n"
                rest = text[end:]
                if chunk:
                    yield self._parse(chunk, line)
                    line += chunk.count(b"\n")
                if not text:
                    return

    def _parse(self, chunk: bytes, line: int) -> Triplets:
        """One block of whole lines, the first of which is number `line`."""
        lines = chunk.count(b"\n")
        fields = 2 if self.header.field == "pattern" else 3
        point = b"." if self.header.field == "real" else b""
        plain = not chunk.translate(None, b"0123456789 \n" + point)
        plain = plain and chunk.count(b" ") == (fields - 1) * lines
        if not plain or (point and _several_points(chunk)):
            chunk, lines = self._checked(chunk, line)
        try:
            found = self._compiled(chunk, lines)
        except (ValueError, OverflowError):
            found = self._compiled(*self._checked(chunk, line))
        with np.errstate(over="ignore"):
            values = found.data.astype(self.dtype)
        if self.dtype.itemsize == 4 and not np.array_equal(values, found.data):
            raise Wide
        return Triplets(found.row, found.col, values)

    def _compiled(self, chunk: bytes, lines: int) -> sparse.coo_array:
        head = self.header
        banner = f"%%MatrixMarket matrix coordinate {head.field} general\n"
        size = f"{head.rows} {head.columns} {lines}\n"
        return mmread(io.BytesIO((banner + size).encode() + chunk))

    def _checked(self, chunk: bytes, line: int) -> tuple[bytes, int]:
        """The lines that are entries, one by one, spelled plainly; the first that is none is named."""
        head = self.header
        form, kept = _FORMS[head.field], []
        for offset, text in enumerate(chunk[:-1].split(b"\n")):
            if not text.strip():
                continue
            where = f"line {line + offset:,}"
            match = form.fullmatch(text)
            if match is None:
                shown = text[:40].decode("latin-1")
                what = f"{where}: {shown!r} is no entry of a matrix of kind {head.field}"
                raise InputError(what, file=self.name)
            row, column = int(match[1]), int(match[2])
            for number, bound, side in ((row, head.rows, "row"), (column, head.columns, "column")):
                if not 1 <= number <= bound:
                    what = f"{where}: {side} {number} is not in 1 to {bound:,}"
                    fix = "is it numbered from 0?" if number == 0 else None
                    raise InputError(what, fix=fix, file=self.name)
            value = self._value(match, where)
            kept.append(f"{row} {column}{value}\n".encode())
        return b"".join(kept), len(kept)

    def _value(self, match: re.Match[bytes], where: str) -> str:
        if self.header.field == "pattern":
            return ""
        value = int(match[3]) if self.header.field == "integer" else float(match[3])
        if not -(2.0**63) <= value < 2.0**63 and (isinstance(value, int) or np.isinf(value)):
            raise InputError(f"{where}: a value of over 64 bits", file=self.name)
        return f" {value!r}"


def _several_points(chunk: bytes) -> bool:
    """Has a line more than one decimal point?"""
    text = np.frombuffer(chunk, dtype=np.uint8)
    points = np.flatnonzero(text == ord("."))
    lines = np.searchsorted(np.flatnonzero(text == ord("\n")), points)
    return bool((np.diff(lines) == 0).any())
