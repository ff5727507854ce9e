"""Any rows of matrices on disk into one buffer of stored entries, and batches out of it.

Reading and picking are apart, so that one thread reads the next buffer while another picks batches from
this one. Buffers and the arrays of batches are used again: on a fast disk, fresh pages from the system
cost as much as the reading.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad import gather_kernels as kernels
from scgx.h5ad.cells import Cells
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.ranges import Ranges
from scgx.h5ad.spool import Spool

Values: TypeAlias = sparse.csr_array | np.ndarray
_GAP = 512  # entries between two wanted rows that are read with them
_SMALL = 1 << 16  # elements of an array that is not worth keeping


class Wanted(NamedTuple):
    """Rows of one matrix that are about to be read: where each will lie among `size` entries."""

    size: int
    starts: np.ndarray
    lengths: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    block: sparse.csr_array | None = None


class Source(Protocol):
    """A matrix whose rows can be read into a buffer."""

    index_dtype: np.dtype
    dtype: np.dtype

    def sizes(self, rows: np.ndarray) -> np.ndarray: ...
    def want(self, rows: np.ndarray) -> Wanted: ...
    def read(self, wanted: Wanted, indices: np.ndarray, data: np.ndarray) -> None: ...


def source_of(matrix: Matrix, keep: Spool | None = None) -> Source:
    """The fastest way to the rows of a matrix of this kind; undone values may be kept in `keep`."""
    if matrix.kind == "csr":
        return _Csr(matrix, keep)
    return _Any(matrix.take, matrix.dtype, 1 + matrix.nnz // max(1, matrix.shape[0]))


def held(block: sparse.csr_array) -> Source:
    """Rows of a matrix in memory."""
    return _Any(lambda rows: block[rows], block.dtype, 1 + block.nnz // max(1, block.shape[0]))


class _Csr:
    """Rows are runs of entries; only they, and small gaps between them, are read."""

    def __init__(self, matrix: Matrix, keep: Spool | None) -> None:
        self.indptr = matrix.indptr
        self.indices = Ranges(matrix.item["indices"], keep)
        self.data = Ranges(matrix.item["data"], keep)
        kind = self.indices.dataset.dtype
        self.index_dtype = np.dtype(np.int32 if kind == np.int32 else np.int64)
        self.dtype = _computable(matrix.dtype)
        if kind.kind not in "iu":
            raise InputError(f"{matrix.where}/indices are no integers", file=matrix.file)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Entries of each row."""
        return self.indptr[rows + 1] - self.indptr[rows]

    def want(self, rows: np.ndarray) -> Wanted:
        """Of rows that ascend, without repeats."""
        lows, highs = self.indptr[rows], self.indptr[rows + 1]
        new = np.concatenate([[True], lows[1:] - highs[:-1] > _GAP])[: len(rows)]
        first = np.flatnonzero(new)
        run_lows, run_highs = lows[first], highs[np.append(first[1:], len(rows)) - 1]
        sizes = run_highs - run_lows
        shift = np.cumsum(sizes) - sizes - run_lows
        starts = lows + shift[np.cumsum(new) - 1]
        return Wanted(int(sizes.sum()), starts, highs - lows, run_lows, run_highs)

    def read(self, wanted: Wanted, indices: np.ndarray, data: np.ndarray) -> None:
        """Into arrays of `wanted.size` entries."""
        self.indices.read(wanted.lows, wanted.highs, indices)
        self.data.read(wanted.lows, wanted.highs, data)


class _Any:
    """Dense matrices and CSC ones, and what is in memory: rows are made first."""

    def __init__(self, take: Callable[[np.ndarray], Values], dtype: np.dtype, each: int) -> None:
        self.take, self.each = take, each
        self.index_dtype = np.dtype(np.int32)
        self.dtype = _computable(dtype)

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """Entries of each row, about."""
        return np.full(len(rows), self.each, dtype=np.int64)

    def want(self, rows: np.ndarray) -> Wanted:
        """Of rows that ascend, without repeats."""
        block = sparse.csr_array(self.take(rows))
        nothing = np.empty(0, dtype=np.int64)
        indptr = block.indptr.astype(np.int64)
        return Wanted(block.nnz, indptr[:-1], np.diff(indptr), nothing, nothing, block)

    def read(self, wanted: Wanted, indices: np.ndarray, data: np.ndarray) -> None:
        """Into arrays of `wanted.size` entries."""
        if wanted.block is not None:
            indices[:], data[:] = wanted.block.indices, wanted.block.data


def _computable(dtype: np.dtype) -> np.dtype:
    """A type that compiled loops know, which holds the same values."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


class Entries:
    """A buffer of stored entries that grows and is used again."""

    def __init__(self, index_dtype: np.dtype, dtype: np.dtype) -> None:
        self.indices = np.empty(0, dtype=index_dtype)
        self.data = np.empty(0, dtype=dtype)

    def reserve(self, size: int) -> None:
        """Room for so many entries; what was in it is lost."""
        if size > len(self.data):
            self.indices = np.empty(
                0, self.indices.dtype
            )  # the old one goes before the new one comes
            self.data = np.empty(0, self.data.dtype)
            self.indices = np.empty(size + size // 16, self.indices.dtype)
            self.data = np.empty(size + size // 16, self.data.dtype)


class Stack:
    """One matrix per file, as one of the rows of all of them; file k begins at row offsets[k]."""

    def __init__(
        self, files: Sequence[Cells], sources: Sequence[Source], offsets: np.ndarray
    ) -> None:
        self.files, self.sources, self.offsets = files, sources, offsets
        kinds = {source.index_dtype for source in sources}
        self.index_dtype = kinds.pop() if len(kinds) == 1 else np.dtype(np.int64)
        self.dtype = np.result_type(*(source.dtype for source in sources))

    def entries(self) -> Entries:
        """An empty buffer for its rows."""
        return Entries(self.index_dtype, self.dtype)

    def _parts(self, rows: np.ndarray) -> Iterator[tuple[Cells, Source, np.ndarray]]:
        """For each file that has any of `rows`: its own numbers of them."""
        ends = np.searchsorted(rows, self.offsets)
        for k, source in enumerate(self.sources):
            if ends[k] < ends[k + 1]:
                yield self.files[k], source, rows[ends[k] : ends[k + 1]] - self.offsets[k]

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """What each of `rows` (ascending) takes in memory, int64."""
        sizes = np.concatenate([source.sizes(own) for _, source, own in self._parts(rows)])
        return sizes * (self.index_dtype.itemsize + self.dtype.itemsize)

    def read(self, rows: np.ndarray, entries: Entries) -> tuple[np.ndarray, np.ndarray]:
        """Rows (ascending, none twice) into the buffer: where each begins, and its length."""
        wanted = []
        for cells, source, own in self._parts(rows):
            with cells.naming():
                wanted.append((cells, source, source.want(own)))
        entries.reserve(sum(want.size for _, _, want in wanted))
        at, starts = 0, []
        for cells, source, want in wanted:
            end = at + want.size
            with cells.naming():
                source.read(want, entries.indices[at:end], entries.data[at:end])
            starts.append(want.starts + at)
            at = end
        return np.concatenate(starts), np.concatenate([want.lengths for _, _, want in wanted])


class Tables(NamedTuple):
    """Columns on disk to columns wanted (int32; -1 left out, -2 outside), a table per kind of row."""

    tables: np.ndarray
    width: int
    ordered: bool  # names keep the order of the columns
    same: bool  # every column is wanted, and is where it was

    @classmethod
    def of(cls, tables: list[np.ndarray], width: int) -> Tables:
        """From tables of different lengths."""
        most = max(map(len, tables))
        padded = np.full((len(tables), most), -2, dtype=np.int32)
        for line, table in zip(padded, tables):
            line[: len(table)] = table
        kept = [table[table >= 0] for table in tables]
        ordered = all(bool((np.diff(line) > 0).all()) for line in kept)
        same = most == width and bool((padded == np.arange(width)).all())
        return cls(padded, width, ordered, same)


class Recycled:
    """Arrays that are handed out again once nobody holds them."""

    def __init__(self) -> None:
        self._arrays: dict[np.dtype, list[np.ndarray]] = {}
        probe = [np.empty(1)]
        self._unused = [sys.getrefcount(array) for array in probe][0]

    def empty(self, size: int, dtype: np.dtype) -> np.ndarray:
        """A 1-D array of that size, uninitialised; a view of one that is kept."""
        if size < _SMALL:
            return np.empty(size, dtype)
        kept = self._arrays.setdefault(np.dtype(dtype), [])
        counts = [sys.getrefcount(array) for array in kept]
        for place, count in enumerate(counts):
            if count == self._unused:
                if len(kept[place]) < size:
                    kept[place] = np.empty(size + size // 8, dtype)
                return kept[place][:size]
        made = np.empty(size + size // 8, dtype)
        if len(kept) < 8:
            kept.append(made)
        return made[:size]


def pick(
    entries: Entries,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    tables: Tables,
    dtype: np.dtype,
    recycled: Recycled,
) -> sparse.csr_array:
    """A batch: rows given as (starts, lengths, which table), in that order, CSR with sorted indices.

    InputError where an index reaches outside of the matrix or an entry is stored twice.
    """
    starts, lengths, which = rows
    most = int(lengths.sum()) + 1  # the loop writes before it knows whether a column is wanted
    columns = recycled.empty(most, np.dtype(np.int32))
    values = recycled.empty(most, dtype)
    indptr = np.empty(len(starts) + 1, dtype=np.int32)
    given = (entries.indices, entries.data, starts, lengths)
    named, out = (which, tables.tables), (indptr, columns, values)
    state = kernels.UNORDERED
    if tables.same:
        state = kernels.copy_rows(*given, tables.width, *out)
    elif tables.ordered:
        state = kernels.rename_rows(*given, *named, *out)
    if state == kernels.UNORDERED:
        state = kernels.sort_rows(*given, *named, tables.width, *out)
    if state == kernels.OUTSIDE:
        raise InputError("indices reach outside of the matrix", fix="the file is corrupt")
    if state == kernels.TWICE:
        raise InputError("an entry is stored twice", fix="the file is corrupt")
    end = int(indptr[-1])
    shape = (len(starts), tables.width)
    return sparse.csr_array((values[:end], columns[:end], indptr), shape=shape, copy=False)


def dense(block: sparse.csr_array, recycled: Recycled) -> np.ndarray:
    """A CSR block as a dense array."""
    out = recycled.empty(block.shape[0] * block.shape[1], block.dtype).reshape(block.shape)
    kernels.densify(block.indptr, block.indices, block.data, out)
    return out


class Again:
    """Any rows of one CSR matrix, asked for time and again, by one thread or several."""

    def __init__(self, cells: Cells, key: str, keep: Spool | None = None) -> None:
        matrix = cells.matrix(key)
        self._width, self._dtype = matrix.shape[1], _computable(matrix.dtype)
        offsets = np.array([0, matrix.shape[0]])
        self._stack = Stack([cells], [source_of(matrix, keep)], offsets)
        self._entries, self._recycled = self._stack.entries(), Recycled()
        self._lock = threading.Lock()

    def rows(self, rows: np.ndarray, columns: np.ndarray) -> sparse.csr_array:
        """Rows in the order given, columns (int64, none twice) in theirs: CSR of the matrix's type."""
        table = np.full(self._width, -1, dtype=np.int32)
        table[columns] = np.arange(len(columns))
        tables = Tables.of([table], len(columns))
        wanted, places = np.unique(rows, return_inverse=True)
        if not len(rows):
            return sparse.csr_array((0, len(columns)), dtype=self._dtype)
        with self._lock:
            starts, lengths = self._stack.read(wanted, self._entries)
            given = (starts[places], lengths[places], np.zeros(len(rows), dtype=np.int32))
            return pick(self._entries, given, tables, self._dtype, self._recycled)
