"""Values of a file as log1p-cp10k, and sums of them over groups of cells, a block at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.tasks._conversion import Reading, reading, totals
from scgx.tasks._rows import Array, as_they_are, dense

UNITS = "log1p-cp10k"


class Log(NamedTuple):
    """A matrix of a file, its columns in the order of the scored genes, read as log1p-cp10k.

    `depth` (n_obs,) are counts per cell, or empty where the values are logarithms already.
    """

    cells: Cells
    how: Reading
    columns: Array
    depth: Array

    @classmethod
    def truth(cls, cells: Cells, columns: Array, rows: Array, layer: str | None) -> "Log":
        """Measured cells; `rows` are those that will be read."""
        how = reading(cells, "rna", UNITS, layer)
        depth = np.zeros(cells.n_obs if how.depth else 0)
        if how.depth:
            depth[rows] = totals(cells, how, rows, "rna")
        return cls(cells, how, columns, depth)

    @classmethod
    def guess(cls, cells: Cells, columns: Array, units: str) -> "Log":
        """Predicted cells, in `units`; DataError for what cannot be brought to log1p-cp10k."""
        if units == UNITS:
            return cls(cells, Reading("X", as_they_are, UNITS, "as stored"), columns, np.zeros(0))
        if units not in ("counts", "log1p-counts", "scaled-counts"):
            raise DataError(
                f"X is {units}, and responses are scored as {UNITS}",
                fix="scgx normalize makes that of counts",
                file=cells.name,
            )
        how = reading(cells, "rna", UNITS, None)
        depth = totals(cells, how, np.arange(cells.n_obs), "rna") if how.depth else np.zeros(0)
        return cls(cells, how, columns, depth)

    def read(self, rows: Array) -> Array:
        """Cells in the order given, dense float32 (rows, genes)."""
        block = self.cells.rows(self.how.key, rows, self.columns)
        return dense(self._made(block, rows)).astype(np.float32, copy=False)

    def sums(self, rows: Array, member: sparse.csr_array) -> Array:
        """Sums over groups, float64 (groups, genes); `member` (groups, len(rows)) says how often a row
        belongs to a group, `rows` are sorted. DataError for NaN.
        """
        total = np.zeros((member.shape[0], len(self.columns)))
        by_row = sparse.csc_array(member)
        for block in self.cells.blocks(self.how.key, rows=rows, columns=self.columns):
            here = slice(block.start, block.start + block.X.shape[0])
            some = sparse.csr_array(by_row[:, here])
            groups = np.flatnonzero(np.diff(some.indptr))
            values = self._made(block.X, rows[here]).astype(np.float64)
            total[groups] += dense(some[groups] @ values)
        if not np.isfinite(total).all():
            raise DataError(
                "holds values that are NaN or infinite",
                fix="predict again, or leave those cells out: they count as not covered",
                file=self.cells.name,
            )
        return total

    def _made(self, block: sparse.csr_array | Array, rows: Array) -> sparse.csr_array | Array:
        return self.how.convert(block, self.depth[rows] if len(self.depth) else self.depth)


def member(codes: Array, groups: int) -> sparse.csr_array:
    """Which group each of the cells belongs to, as a matrix (groups, cells); -1 is none."""
    kept = np.flatnonzero(codes >= 0)
    marks = (np.ones(len(kept)), (codes[kept], kept))
    return sparse.csr_array(sparse.coo_array(marks, shape=(groups, len(codes))))


def stacked(parts: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Several groupings of the same cells, on top of each other."""
    return sparse.csr_array(sparse.vstack(list(parts), format="csr"))
