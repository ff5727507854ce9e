"""A gene x cell text matrix as cells x genes in h5ad, in bounded memory, every value exact.

One pass over the text emits what is not zero, block by block in threads; the entries of a block, put
in the order of the cells, go into a temporary file. Then all blocks are read side by side, so many
cells at a time, and appended to X. What is held is a block per thread, or a range of cells.

The values keep their kind: whole numbers become int32 (int64 if they must), others float32 where that
holds each of them exactly, else float64. What is no number is refused with its line and column;
missing values are, unless they are to be zero, and then they are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.errors import InputError
from scgx.h5ad import text_faults, text_header, text_stream
from scgx.h5ad import text_kernels as kernels
from scgx.h5ad.frame import Frame
from scgx.h5ad.spill import SparseSpill, spill_file
from scgx.h5ad.text_header import Layout
from scgx.h5ad.text_stream import Lines
from scgx.h5ad.threads import ahead, side_by_side
from scgx.h5ad.writer import Writer, create
from scgx.progress import bar, say

Obs = Callable[[np.ndarray], Frame]
_FIRST = 2  # the number of the first line of values
_ROWS = 64 << 20  # larger ranges of cells leave the processor's caches, and gain nothing


class Kind(NamedTuple):
    """What values have in common; decides how they are stored."""

    whole: bool = True  # none was written with a point or an exponent
    single: bool = True  # each is a float32 exactly
    most: float = 0.0

    def __or__(self, other: Kind) -> Kind:  # type: ignore[override]
        """What the values of both have in common."""
        return Kind(
            self.whole and other.whole, self.single and other.single, max(self.most, other.most)
        )

    @property
    def dtype(self) -> np.dtype:
        """The smallest kind that holds every value exactly."""
        if self.whole:
            return np.dtype(np.int32 if self.most < 2**31 else np.int64)
        return np.dtype(np.float32 if self.single else np.float64)


class Piece(NamedTuple):
    """The entries of some lines in the order of the cells, and what was found on the way."""

    names: list[bytes]
    indptr: np.ndarray
    genes: np.ndarray
    values: np.ndarray
    kind: Kind
    missing: int


class _Task(NamedTuple):
    """What every block needs to know."""

    layout: Layout
    name: str
    na: str


def to_h5ad(
    source: Path,
    out_path: Path,
    *,
    memory: int,
    na: str = "error",
    obs: Obs | None = None,
    name: str | None = None,
    finish: Callable[[Writer], None] | None = None,
) -> tuple[int, int]:
    """Write a text matrix (plain, gzip, bzip2, zstd) as h5ad; (cells, genes).

    `memory` in bytes; `na` is "error" or "zero"; `obs` makes the table of cells from their names
    (without it the names alone are written); `finish` writes what else belongs into the file.
    InputError (3) with line and column for what is no rectangle of numbers.
    """
    name = name or str(source)
    pieces = ahead(text_stream.chunks(source, name, 1 << 20))
    layout, rest = text_header.begin(pieces, memory // 8, name)
    cells = text_header.with_suffixes(
        text_header.unquoted(layout.columns, name), "cell", "column", 1
    )
    table = obs(cells) if obs is not None else Frame(cells)
    task = _Task(layout, name, na)
    words: list[bytes] = []
    missing, kind = 0, Kind()
    with spill_file() as file, bar("reading", None) as advance:
        spill = SparseSpill(file, (layout.width, 2**31 - 1), np.dtype(np.float64))
        blocks = text_stream.blocks(rest, layout.line, memory, name)
        for piece in side_by_side(lambda lines: _piece(lines, task), blocks):
            spill.add(piece.indptr, piece.genes, piece.values)
            words += piece.names
            missing += piece.missing
            kind |= piece.kind
            advance(len(piece.names))
        if missing:
            say(f"{missing:,} missing values are read as zero (--na zero)")
        spill.shape = (layout.width, len(words))
        with create(out_path) as out:
            out.frame("obs", table)
            out.frame("var", _genes(words, name))
            dtype = kind.dtype
            with out.matrix("X", len(words), dtype) as append:
                for block in ahead(spill.rows(min(memory // 4, _ROWS))):
                    append(block.astype(dtype, copy=False))
            if finish is not None:
                finish(out)
    say(f"{layout.width:,} cells x {len(words):,} genes, {dtype.name}")
    return layout.width, len(words)


def _piece(lines: Lines, task: _Task) -> Piece:
    """The entries of a block of lines."""
    (block, first, n), layout = lines, task.layout
    buf = np.frombuffer(block, dtype=np.uint8)
    starts, stops, ends = (np.empty(n, dtype=np.int64) for _ in range(3))
    room = min(len(block) // 2 + 1, n * layout.width)
    columns, values = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float64)
    later, tally = np.empty((room, 3), dtype=np.int64), np.zeros(11, dtype=np.int64)
    separator = layout.separator[0]
    kernels.parse(buf, separator, layout.width, starts, stops, ends, columns, values, later, tally)
    text_faults.explain(tally, block, first + _FIRST, layout, task.name)
    missing = int(tally[kernels.MISSING])
    if missing and task.na == "error":
        raise text_faults.missing(tally, first + _FIRST, layout, task.name)
    count = int(ends[-1])
    columns, values = columns[:count], values[:count]
    floats = bool(tally[kernels.FLOATS])
    for entry, start, stop in later[: int(tally[kernels.SLOW])].tolist():
        line = first + _FIRST + block.count(b"\n", 0, start)
        values[entry], is_float = _long(block[start:stop], line, task.name)
        floats = floats or is_float
    with np.errstate(over="ignore"):  # what float32 cannot hold is not the same there
        single = bool((values == values.astype(np.float32)).all())
    kind = Kind(not floats, single, float(np.abs(values).max(initial=0)))
    indptr = np.zeros(layout.width + 1, dtype=np.int64)
    genes, data = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.float64)
    kernels.by_column(ends, columns, values, first, indptr, genes, data)
    names = [block[a:b] for a, b in zip(starts.tolist(), stops.tolist())]
    return Piece(names, indptr, genes, data, kind, missing)


def _long(field: bytes, line: int, name: str) -> tuple[float, bool]:
    """A number of many digits, and whether it is written as a float; what has no double is refused."""
    word = field.strip(b'" \r').decode()
    if word.lstrip("+-").isdigit():
        if int(float(word)) != int(word):
            raise InputError(f"line {line:,}: {word[:40]} needs more than 53 bits", file=name)
        return float(word), False
    value = float(word)
    if np.isinf(value):
        raise InputError(f"line {line:,}: {word[:40]} is too large for a number", file=name)
    return value, True


def _genes(words: list[bytes], name: str) -> Frame:
    """The table of genes: ids, symbols where the names hold both, repeats told and numbered."""
    names = text_header.unquoted(words, name)
    empty = np.flatnonzero(names == "")
    if len(empty):
        raise InputError(f"line {empty[0] + _FIRST:,} has no name", file=name)
    text_header.report_dates(names, _FIRST)
    ids, symbols = text_header.identities(names)
    ids = text_header.with_suffixes(ids, "gene", "line", _FIRST)
    if symbols is None:
        return Frame(ids)
    say("names are ids and symbols: the symbols are in var['gene_name']")
    return Frame(ids, {"gene_name": symbols})
