"""Matrix Market folders as h5ad: what Cell Ranger, GEO and the atlases write, in bounded memory.

    matrix.mtx    a line per count: feature, cell, value; numbered from 1
    features.tsv  id, name, type (version 3; genes.tsv in version 2), or its coordinates as well
    barcodes.tsv  names of the cells

All three plain or gzip, under any common prefix (`GSM1_matrix.mtx.gz`), or as `NAME.mtx_rows` and
`NAME.mtx_cols`. The lines stream: where they come cell by cell, as Cell Ranger writes them, rows are
written as they are read; in any other order they are sorted on disk. Integers stay integers, and every
value is exact: 64 bits are used where 32 do not hold it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad.blocks import Block
from scgx.h5ad.frame import Frame
from scgx.h5ad.mtx_lines import Header, Lines, Wide, read_header
from scgx.h5ad.mtx_names import Files, Table, features_of, open_plain, read_lines, words_of
from scgx.h5ad.spill import SparseSpill, spill_file
from scgx.h5ad.threads import ahead
from scgx.h5ad.writer import create
from scgx.progress import say

Array = np.ndarray
_PIECE = 3 << 20  # entries


class Entries(NamedTuple):
    """A block of lines: cell and feature (int64 or int32, from 0) and value of each."""

    cells: Array
    features: Array
    values: Array


class _Shuffled(Exception):
    """The lines do not come cell by cell."""


def write_mtx(
    files: Files,
    name: str,
    memory: int,
    made: Path,
    *,
    obs: Callable[[Array], Frame] | None = None,
) -> None:
    """Matrix, features and barcodes as an h5ad of cells x features; all memory use is bounded.

    `obs` makes the table of cells from their names (without it the names alone are written). Raises
    InputError (3) with the number of the line that is wrong, DataError (4) for a matrix of a kind
    that no cells come in.
    """
    with open_plain(files.matrix, name) as file:
        header = read_header(file, name)
    features, cells = read_lines(files.features, name), read_lines(files.barcodes, name)
    features, cells, turned = _fitted(header, features, cells, name)
    var, names = features_of(features), words_of(cells)
    table = Frame(names) if obs is None else obs(names)
    kind, width, ordered = "f" if header.field == "real" else "i", 4, True
    while True:
        dtype = np.dtype(f"{kind}{width}")
        reading = _Reading(Lines(files.matrix, name, header, dtype), turned=turned)
        try:
            with create(made) as out:
                out.frame("obs", table)
                out.frame("var", var)
                with out.matrix("X", len(var), dtype) as append:
                    for block in reading.in_order() if ordered else reading.sorted_rows(memory):
                        append(block)
            return
        except _Shuffled:
            ordered = False
        except Wide:
            width = 8


def _fitted(header: Header, features: Table, cells: Table, name: str) -> tuple[Table, Table, bool]:
    """Both lists without a line of titles, and whether the matrix is cells x features already."""
    shape = (header.rows, header.columns)
    for above, before in ((0, 0), (1, 0), (0, 1), (1, 1)):
        found = (len(features) - above, len(cells) - before)
        if shape in (found, found[::-1]):
            if above or before:
                say(f"{name}: the first line of its names is taken for titles")
            return features[above:], cells[before:], shape != found
    raise InputError(
        f"its matrix is {header.rows:,} x {header.columns:,} where there are {len(features):,}"
        f" features and {len(cells):,} barcodes",
        fix="are all three files of one folder?",
        file=name,
    )


class _Reading:
    """The entries of a file, in blocks of rows."""

    def __init__(self, lines: Lines, *, turned: bool) -> None:
        self.lines, self.turned, self.name, self.dtype = lines, turned, lines.name, lines.dtype
        shape = (lines.header.columns, lines.header.rows)
        self.shape = shape[::-1] if turned else shape

    def in_order(self) -> Iterator[Block]:
        """Rows of a file that comes cell by cell; `_Shuffled` when it does not."""
        held: list[Entries] = []  # of the last cell seen, which may go on
        next_row = 0
        for part in self._entries():
            last = held[-1].cells[-1] if held else 0
            if part.cells[0] < last or (np.diff(part.cells) < 0).any():
                raise _Shuffled
            current = int(part.cells[-1])
            held.append(part)
            if current > int(held[0].cells[0]):
                whole = _joined(held)
                at = int(np.searchsorted(whole.cells, current))
                done = Entries(*(values[:at] for values in whole))
                held = [Entries(*(values[at:] for values in whole))]
                yield self._block(done, next_row, current)
                next_row = current
        yield self._block(_joined(held), next_row, self.shape[0])

    def _block(self, part: Entries, start: int, stop: int) -> Block:
        indptr = np.searchsorted(part.cells, np.arange(start, stop + 1))
        shape = (stop - start, self.shape[1])
        block = sparse.csr_array((part.values, part.features, indptr), shape=shape)
        return Block(start, self._once(block, start))

    def sorted_rows(self, memory: int) -> Iterator[Block]:
        """Rows of a file in any order, sorted on disk."""
        most = min(max(1 << 16, memory // 100), _PIECE)
        with spill_file() as file:
            spill = SparseSpill(file, self.shape, self.dtype)
            held: list[Entries] = []
            for part in self._entries():
                held.append(part)
                if sum(len(one.cells) for one in held) >= most:
                    self._add(_joined(held), spill)
                    held = []
            self._add(_joined(held), spill)
            start = 0
            for rows in ahead(spill.rows(min(memory, 256 << 20) // 2)):
                yield Block(start, self._once(rows, start))
                start += rows.shape[0]

    def _add(self, part: Entries, spill: SparseSpill) -> None:
        """A piece, its entries by cell: they are the one value in each row of a matrix, turned."""
        n = len(part.cells)
        tags = (np.arange(n), part.cells, np.arange(n + 1))
        by_cell = sparse.csr_array(tags, shape=(n, self.shape[0])).tocsc()
        order = by_cell.data
        spill.add(by_cell.indptr, part.features[order], part.values[order])

    def _once(self, block: sparse.csr_array, start: int) -> sparse.csr_array:
        """Features of every cell in order; one that is given twice is refused."""
        block.has_sorted_indices = False
        block.sort_indices()
        same = np.flatnonzero(np.diff(block.indices) == 0)
        row = np.searchsorted(block.indptr, same, side="right") - 1
        twice = same[same + 1 < block.indptr[row + 1]]
        if len(twice):
            cell = start + int(np.searchsorted(block.indptr, twice[0], side="right"))
            what = f"feature {int(block.indices[twice[0]]) + 1:,} of cell {cell:,} is given twice"
            raise InputError(what, fix="which of them counts?", file=self.name)
        return block

    def _entries(self) -> Iterator[Entries]:
        for rows, columns, values in self.lines.blocks():
            yield Entries(rows, columns, values) if self.turned else Entries(columns, rows, values)


def _joined(parts: list[Entries]) -> Entries:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.empty(0, dtype=np.int32)
        return Entries(none, none, none)
    return Entries(*(np.concatenate(values) for values in zip(*parts, strict=True)))
