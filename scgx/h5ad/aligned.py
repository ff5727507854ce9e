"""Rows of several matrices of the same cells, so many at a time, in any order.

A conversion from two layers, or a join of two files, needs the same cells of all of them at once,
while each matrix has its own best block. What is read in order streams; what is wanted in another
order is read whole where it fits the budget, and gathered row by row where it does not.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from scipy import sparse

from scgx.cluster.work import mapped, pool
from scgx.h5ad.cells import Cells

Array: TypeAlias = np.ndarray
Values: TypeAlias = sparse.csr_array | np.ndarray
Made = TypeVar("Made")

_MOST_ROWS = 1 << 16
_MOST_BYTES = 64 << 20
_WORK = 20  # bytes that are held for each byte of a block while it is worked on


class Source(NamedTuple):
    """A matrix, the rows wanted of it in the order wanted, and the columns."""

    cells: Cells
    key: str
    rows: Array | None = None  # int64, None is all
    columns: Array | None = None

    @property
    def n_rows(self) -> int:
        """How many rows it gives."""
        return self.cells.n_obs if self.rows is None else len(self.rows)


def together(sources: Sequence[Source], memory: int) -> Iterator[tuple[Values, ...]]:
    """The same rows of every source, block by block; all have the same number of rows."""
    size = rows_per_block(sources, memory)
    streams = [_stream(source, size, memory // (2 * len(sources))) for source in sources]
    yield from zip(*streams, strict=True)


def worked(
    sources: Sequence[Source],
    memory: int,
    function: Callable[[int, tuple[Values, ...]], Made],
) -> Iterator[Made]:
    """`function(start, blocks)` of the same rows of every source, in order: the blocks of `together`,
    which the workers of a cluster read by themselves where one is open.
    """
    size = rows_per_block(sources, memory)
    if pool() is None:
        for i, blocks in enumerate(together(sources, memory)):
            yield function(i * size, blocks)
        return
    step = size * _at_once(sources, size, memory)
    parts = ((start, step, size) for start in range(0, sources[0].n_rows, step))
    for several in mapped(partial(_worked, sources, function), parts):
        yield from several


def _worked(
    sources: Sequence[Source],
    function: Callable[[int, tuple[Values, ...]], Made],
    part: tuple[int, int, int],
) -> list[Made]:
    """The same of some blocks of `size` rows, read together."""
    start, step, size = part
    read = [_rows(source, start, min(start + step, source.n_rows)) for source in sources]
    return [
        function(start + i, tuple(values[i : i + size] for values in read))
        for i in range(0, read[0].shape[0], size)
    ]


def _rows(source: Source, start: int, stop: int) -> Values:
    with source.cells.naming():
        if source.rows is not None:
            return source.cells.rows(source.key, source.rows[start:stop], source.columns)
        return source.cells.matrix(source.key).slice(start, stop, source.columns)


def _at_once(sources: Sequence[Source], size: int, memory: int) -> int:
    """Blocks that are read together: more than one of a CSC matrix, which is read whole each time."""
    matrices = [source.cells.matrix(source.key) for source in sources]
    found = [matrix.plan(max(1, memory // (2 * len(sources))))[0][1] for matrix in matrices
             if matrix.kind == "csc" and matrix.shape[0]]  # fmt: skip
    return max(1, min(found, default=0) // size)


def rows_per_block(sources: Sequence[Source], memory: int) -> int:
    """How many rows of all sources fit, with the work on them, into the budget."""
    each = 0.0
    for source in sources:
        matrix = source.cells.matrix(source.key)
        entry = matrix.dtype.itemsize + (0 if matrix.kind == "dense" else 8)
        each += matrix.nnz * entry / max(1, matrix.shape[0])
    budget = min(memory // (2 * _WORK), _MOST_BYTES)
    return int(min(max(1, budget // max(1.0, each)), _MOST_ROWS))


def _stream(source: Source, size: int, memory: int) -> Iterator[Values]:
    cells, key, rows, columns = source
    if rows is None or _ascending(rows):
        plain = rows is None or len(rows) == cells.n_obs
        yield from _recut(_in_order(source, None if plain else rows, size, memory), size)
        return
    matrix = cells.matrix(key)
    if matrix.nnz * (matrix.dtype.itemsize + 8) * 3 < memory:
        whole = cells.rows(key, rows, columns)
        for start in range(0, len(rows), size):
            yield whole[start : start + size]
        return
    for start in range(0, len(rows), size):
        yield cells.rows(key, rows[start : start + size], columns)


def _in_order(source: Source, rows: Array | None, size: int, memory: int) -> Iterator[Values]:
    cells, key = source.cells, source.key
    matrix = cells.matrix(key)
    small = matrix.nnz * (matrix.dtype.itemsize + 8) * 4 // max(1, matrix.shape[0]) * size
    budget = memory if matrix.kind == "csc" else min(memory, max(1 << 16, small))
    for block in cells.blocks(key, memory=max(1, budget), rows=rows, columns=source.columns):
        yield block.X


def _recut(blocks: Iterator[Values], size: int) -> Iterator[Values]:
    """The same rows in blocks of exactly `size`, but for the last."""
    held: list[Values] = []
    count = 0
    for block in blocks:
        start = 0
        while count + block.shape[0] - start >= size:
            stop = start + size - count
            held.append(block[start:stop])
            yield _stack(held)
            held, count, start = [], 0, stop
        if start < block.shape[0]:
            held.append(block[start:])
            count += block.shape[0] - start
    if held:
        yield _stack(held)


def _stack(parts: Sequence[Values]) -> Values:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return sparse.vstack(parts, format="csr")


def _ascending(rows: Array) -> bool:
    return bool(np.all(np.diff(rows) > 0))
