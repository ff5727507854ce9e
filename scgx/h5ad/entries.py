"""The non-zero values of a matrix as triples, in whatever order they are stored.

What is only counted and added up needs no rows: a CSC matrix is read once from front to back like a
CSR one, in the same bounded memory, where blocks of rows would read it once per block.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.matrix import Matrix, canonical, check_indices, cut
from scgx.h5ad.threads import ahead

_SMALL, _LARGE = 1 << 16, 1 << 19  # stored values that are held at a time
_EACH = 192  # bytes that work on one of them takes


class Entries(NamedTuple):
    """Row, column and value of some stored values that are not zero."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray  # float64


def entries(cells: Cells, key: str, *, memory: int | None = None) -> Iterator[Entries]:
    """All non-zero values, each once. InputError where one is stored twice or out of range."""
    matrix = cells.matrix(key)
    budget = (memory or cells.memory) // (2 * _EACH)
    size = int(min(max(budget, _SMALL), _LARGE))
    yield from _dense(matrix, size) if matrix.kind == "dense" else _sparse(matrix, size)


def count_entries(cells: Cells, key: str, *, memory: int | None = None) -> Iterator[Entries]:
    """The same of a matrix of counts; DataError at the first value that is none."""
    for part in entries(cells, key, memory=memory):
        values = part.values
        with np.errstate(invalid="ignore"):
            bad = ~((values > 0) & (values == np.rint(values)) & (values < np.inf))
        if bad.any():
            raise DataError(
                f"{key} holds {values[bad][0]:g}, which is no count",
                fix="name a layer of counts with --layer",
                file=cells.name,
            )
        yield part


def _sparse(matrix: Matrix, size: int) -> Iterator[Entries]:
    by_row = matrix.kind == "csr"
    bound = matrix.shape[1 if by_row else 0]
    for start, stop, indices, data in ahead(_slabs(matrix, size)):
        check_indices(indices, bound, matrix)
        indptr = matrix.indptr[start : stop + 1] - matrix.indptr[start]
        block = canonical(data, indices, indptr, (stop - start, bound), matrix)
        major = np.repeat(np.arange(start, stop), np.diff(indptr))
        minor, values = block.indices, block.data.astype(np.float64)
        if not values.all():
            kept = values != 0
            major, minor, values = major[kept], minor[kept], values[kept]
        yield Entries(major, minor, values) if by_row else Entries(minor, major, values)


def _slabs(matrix: Matrix, size: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    for start, stop in cut(matrix.indptr, size):
        lo, hi = int(matrix.indptr[start]), int(matrix.indptr[stop])
        yield start, stop, matrix.indices.read(lo, hi), matrix.data.read(lo, hi)


def _dense(matrix: Matrix, size: int) -> Iterator[Entries]:
    height = max(1, size // max(1, matrix.shape[1]))
    for start in range(0, matrix.shape[0], height):
        block = matrix.item[start : start + height]
        rows, columns = np.nonzero(block)
        yield Entries(rows + start, columns, block[rows, columns].astype(np.float64))
