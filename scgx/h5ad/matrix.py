"""One matrix on disk, CSR, CSC or dense, read in blocks of rows.

Sparse invariants are checked while streaming and before the numbers reach compiled code that trusts
them: an index out of range is a segmentation fault there. Blocks are cut so that what is held at a
time stays under the budget whatever the matrix's size; a CSC matrix, whose rows lie scattered, is read
once per block.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import h5py
import numpy as np
import scipy

from scgx.errors import DataError, InputError
from scgx.h5ad.blocks import Block
from scgx.h5ad.slabs import CHECKSUM_ALONE, Slabs, filters_of

_SLAB = 1 << 21


class Matrix:
    """A matrix of cells x features in an open file."""

    def __init__(
        self,
        item: h5py.Group | h5py.Dataset,
        shape: tuple[int, int],
        where: str,
        file: str | None = None,
    ) -> None:
        """`where` ("X") and `file` are for messages; of several open files the bad one is named."""
        self.item = item
        self.where = where
        self.file = file
        self.vouched = False  # set where the hash of the whole file is being compared
        self.kind, self.shape = kind_of(item, where)
        if self.shape != tuple(shape):
            raise InputError(f"{where} is {self.shape} where obs x var is {tuple(shape)}")
        values = item["data"] if self.kind != "dense" else item
        self.dtype = values.dtype
        if self.dtype.kind not in "iufb":
            raise DataError(f"{where} holds {self.dtype} and no numbers")

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return self.item["data"].shape[0] if self.kind != "dense" else self.shape[0] * self.shape[1]

    @property
    def checksummed(self) -> bool:
        """Is it compressed by rows, its chunks as they are but for a checksum?"""
        parts = [self.item[name] for name in ("data", "indices")] if self.kind == "csr" else []
        return any(filters_of(part) == CHECKSUM_ALONE for part in parts)

    @cached_property
    def indices(self) -> Slabs:
        """Column (CSR) or row (CSC) indices."""
        return Slabs(self.item["indices"], vouched=self.vouched)

    @cached_property
    def data(self) -> Slabs:
        """Stored values."""
        return Slabs(self.item["data"], vouched=self.vouched)

    @cached_property
    def indptr(self) -> np.ndarray:
        """Row (CSR) or column (CSC) offsets, int64, checked."""
        indptr = self.item["indptr"][()]
        major = self.shape[0 if self.kind == "csr" else 1]
        if indptr.dtype.kind not in "iu" or indptr.shape != (major + 1,):
            raise InputError(
                f"{self.where}/indptr has shape {indptr.shape}, not ({major + 1},)", file=self.file
            )
        indptr = indptr.astype(np.int64)
        if indptr[0] != 0 or indptr[-1] != self.nnz or (np.diff(indptr) < 0).any():
            raise InputError(
                f"{self.where}/indptr does not count the stored entries", file=self.file
            )
        if self.item["indices"].shape != self.item["data"].shape or self.item["data"].ndim != 1:
            raise InputError(f"{self.where} has more or fewer indices than values", file=self.file)
        return indptr

    def blocks(self, memory: int, columns: np.ndarray | None = None) -> Iterator[Block]:
        """All rows in order, in blocks of at most about `memory` bytes while being worked on."""
        for start, stop in self.plan(memory):
            yield Block(start, self.slice(start, stop, columns))

    def plan(self, memory: int) -> list[tuple[int, int]]:
        """Row ranges whose blocks fit; pure numbers."""
        n = self.shape[0]
        if self.kind == "dense":
            rows = max(1, memory // max(1, 4 * self.shape[1] * self.dtype.itemsize))
            return [(i, min(i + rows, n)) for i in range(0, n, rows)]
        entry = 4 * (self.dtype.itemsize + 8)
        if self.kind == "csr":
            return cut(self.indptr, max(1, memory // entry))
        rows = max(1, int(n * min(1.0, memory / max(1, entry * self.nnz))))
        return [(i, min(i + rows, n)) for i in range(0, n, rows)]

    def slice(
        self, start: int, stop: int, columns: np.ndarray | None = None
    ) -> scipy.sparse.csr_array | np.ndarray:
        """Rows start..stop as CSR (canonical: sorted, no duplicates) or dense."""
        if self.kind == "dense":
            block = self.item[start:stop]
            return block if columns is None else block[:, columns]
        if self.kind == "csr":
            block = self._csr_rows(start, stop)
        else:
            block = self._csc_rows(start, stop)
        return block if columns is None else block[:, columns]

    def _csr_rows(self, start: int, stop: int) -> scipy.sparse.csr_array:
        lo, hi = int(self.indptr[start]), int(self.indptr[stop])
        indices, data = self.indices.read(lo, hi), self.data.read(lo, hi)
        indptr = self.indptr[start : stop + 1] - lo
        check_indices(indices, self.shape[1], self)
        return canonical(data, indices, indptr, (stop - start, self.shape[1]), self)

    def _csc_rows(self, start: int, stop: int) -> scipy.sparse.csr_array:
        """Rows of a column-compressed matrix: one pass over all of it, keeping what falls inside."""
        rows, cols, values = [], [], []
        for lo in range(0, self.nnz, _SLAB):
            hi = min(lo + _SLAB, self.nnz)
            index = self.indices.read(lo, hi)
            check_indices(index, self.shape[0], self)
            inside = np.flatnonzero((index >= start) & (index < stop))
            if len(inside):
                rows.append((index[inside] - start).astype(np.int32))
                column = np.searchsorted(self.indptr, inside + lo, side="right") - 1
                cols.append(column.astype(np.int32))
                values.append(self.data.read(lo, hi)[inside])
        shape = (stop - start, self.shape[1])
        if not rows:
            return scipy.sparse.csr_array(shape, dtype=self.dtype)
        row = np.concatenate(rows)
        order = np.argsort(row, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        data, indices = np.concatenate(values)[order], np.concatenate(cols)[order]
        return canonical(data, indices, indptr, shape, self)

    def values(self, start: int, stop: int, columns: np.ndarray) -> np.ndarray:
        """What rows start..stop store in these columns, in no order; of a dense matrix all."""
        if self.kind == "csr":
            lo, hi = int(self.indptr[start]), int(self.indptr[stop])
            indices = self.indices.read(lo, hi)
            check_indices(indices, self.shape[1], self)
            if not _falls(indices, self.indptr[start : stop + 1] - lo).any():
                wanted = np.zeros(self.shape[1], dtype=bool)
                wanted[columns] = True
                return self.data.read(lo, hi)[wanted[indices]]
        every = len(columns) == self.shape[1]
        block = self.slice(start, stop, None if every else columns)
        return block.ravel() if isinstance(block, np.ndarray) else np.asarray(block.data)

    def take(self, rows: np.ndarray) -> scipy.sparse.csr_array | np.ndarray:
        """Any rows in any order; runs of neighbours are read at once."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            empty = np.zeros((0, self.shape[1]), dtype=self.dtype)
            return empty if self.kind == "dense" else scipy.sparse.csr_array(empty)
        ordered = np.unique(rows)
        breaks = np.flatnonzero(np.diff(ordered) > 16) + 1
        parts = []
        if self.kind == "csc":
            parts = [self.slice(int(ordered[0]), int(ordered[-1]) + 1)[ordered - ordered[0]]]
        else:
            for run in np.split(ordered, breaks):
                block = self.slice(int(run[0]), int(run[-1]) + 1)
                parts.append(block[run - run[0]])
        whole = (
            np.concatenate(parts)
            if self.kind == "dense"
            else scipy.sparse.vstack(parts, format="csr")
        )
        return whole[np.searchsorted(ordered, rows)]


def cut(indptr: np.ndarray, entries: int) -> list[tuple[int, int]]:
    """Row ranges with at most `entries` stored values each (one row at least)."""
    ranges, start, n = [], 0, len(indptr) - 1
    while start < n:
        stop = int(np.searchsorted(indptr, indptr[start] + entries, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        ranges.append((start, stop))
        start = stop
    return ranges


def check_indices(indices: np.ndarray, bound: int, of: Matrix) -> None:
    """Refuse indices that would reach outside the matrix."""
    if indices.dtype.kind not in "iu":
        raise InputError(f"{of.where}/indices are no integers", file=of.file)
    unsigned = indices.view(f"u{indices.itemsize}")  # a negative one is a very large one: one pass
    if len(indices) and int(unsigned.max()) >= bound:
        what = f"{of.where}/indices reach outside of the matrix"
        raise InputError(what, fix="the file is corrupt", file=of.file)


def canonical(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int], of: Matrix
) -> scipy.sparse.csr_array:
    """A CSR block with sorted indices; duplicate entries are refused (their sum is a guess)."""
    if data.dtype == np.float16:
        data = data.astype(np.float32)
    block = scipy.sparse.csr_array((data, indices, indptr), shape=shape)
    if _falls(indices, indptr).any():
        block.has_sorted_indices = False
        block.sort_indices()
        if _falls(block.indices, indptr).any():
            what = f"{of.where} stores an entry twice"
            raise InputError(what, fix="the file is corrupt", file=of.file)
    return block


def _falls(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Where an index is not above the one before it in its row."""
    if len(indices) < 2:
        return np.zeros(0, dtype=bool)
    falls = indices[1:] <= indices[:-1]
    starts = indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < len(indices))]
    falls[starts - 1] = False
    return falls


def kind_of(item: h5py.Group | h5py.Dataset, where: str) -> tuple[str, tuple[int, int]]:
    """`csr`, `csc` or `dense`, and its shape; errors where it is nothing that AnnData writes."""
    if isinstance(item, h5py.Dataset):
        if item.ndim != 2:
            raise DataError(f"{where} has {item.ndim} dimensions, a matrix has two")
        return "dense", item.shape
    kind = item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = item.attrs.get("shape", item.attrs.get("h5sparse_shape", None))
    if kind[:3] not in ("csr", "csc") or shape is None or len(shape) != 2:
        raise InputError(f"{where} is no matrix that AnnData writes (encoding {kind!r})")
    if not {"data", "indices", "indptr"} <= set(item):
        raise InputError(f"{where} lacks data, indices or indptr")
    return kind[:3], (int(shape[0]), int(shape[1]))
