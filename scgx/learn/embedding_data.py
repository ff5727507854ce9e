"""Cells of one modality for a model that gives them places: training rows, again and again, in blocks.

Blocks are of one size whatever the budget, so that sums run in one order and --memory changes no byte.
What fits in a third of the budget is converted once and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features
from scgx.h5ad.threads import ahead
from scgx.learn.convert import totals_of
from scgx.learn.data import Side

ROWS = 2_048


class Moments(NamedTuple):
    """Of n cells, per feature (p,): mean, unbiased variance, and in how many it is not zero."""

    n: int
    mean: np.ndarray
    variance: np.ndarray
    cells: np.ndarray


class EmbeddingData:
    """One side of a file, and the rows (int64, sorted) that a model may look at."""

    def __init__(self, cells: Cells, side: Side, train: np.ndarray) -> None:
        self._cells = cells
        self._side = side
        self.train = train
        self.memory = cells.memory

    @property
    def inputs(self) -> Features:
        """The features in the order of the columns of x."""
        return self._side.features

    def blocks(self, columns: np.ndarray | None = None) -> Iterator[sparse.csr_array]:
        """Training rows in order, CSR float32 (2,048, features), or these columns of them."""
        for start in range(0, len(self.train), ROWS) if self._held is not None else ():
            block = self._held[start : start + ROWS]  # type: ignore[index]
            yield block if columns is None else block[:, columns]
        if self._held is None:
            for block in ahead(self._read()):
                yield block if columns is None else block[:, columns]

    @cached_property
    def moments(self) -> Moments:
        """What one pass over the training rows tells about each feature."""
        width = len(self.inputs)
        total, squares, cells = np.zeros(width), np.zeros(width), np.zeros(width, np.int64)
        for block in self.blocks():
            values = block.data.astype(np.float64)
            total += np.bincount(block.indices, weights=values, minlength=width)
            squares += np.bincount(block.indices, weights=values**2, minlength=width)
            cells += np.bincount(block.indices[block.data != 0], minlength=width)
        n = len(self.train)
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0) / max(n - 1, 1)
        variance[variance < 1e-12 * (1 + squares / n)] = 0
        return Moments(n, mean, variance, cells)

    def most_variable(self, n: int) -> np.ndarray:
        """Columns, sorted, of the n features that vary most in training; 0 is all that vary at all."""
        variance = self.moments.variance
        order = np.argsort(-variance, kind="stable")[: n or len(variance)]
        return np.sort(order[variance[order] > 0])

    @cached_property
    def _held(self) -> sparse.csr_array | None:
        """All training rows, converted, when they fit in a third of the budget."""
        if 20 * self._cells.matrix(self._side.conversion.key).nnz > self.memory // 3:
            return None
        return sparse.csr_array(sparse.vstack(list(self._read()), format="csr"))

    def _read(self) -> Iterator[sparse.csr_array]:
        conversion, columns = self._side.conversion, self._side.columns
        depth = totals_of(self._cells, self.inputs.modality) if conversion.uses_totals else None
        for start in range(0, len(self.train), ROWS):
            rows = self.train[start : start + ROWS]
            block = self._cells.rows(conversion.key, rows, columns)
            yield conversion.apply(block, None if depth is None else depth[rows])
