"""Training cells as another study would have seen them: shallower, by another chemistry, fewer genes.

Between studies it is depth, capture and the panel that differ, and a model that knows one study only
takes them for biology. A copy of the training cells is one such study: it has an efficiency per gene
(log-normal), a panel (some genes are hidden), and of each cell a share of its counts (binomial
thinning, which turns a Poisson count into one of a shallower run). The first copy of a cell is always
the cell itself. What a row becomes depends on its number and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.convert import Rows
from scgx.learn.panel import Lens

COUNTS = ("counts", "binary")
FULL = 0.9  # genes above this quantile of efficiency keep all that depth leaves


@dataclass(frozen=True)
class Augment:
    """`copies` more studies. 0 of them are the cells as they are."""

    copies: int = 0
    seed: int = 0
    least: float = 0.1  # share of its counts that a cell keeps at least; log-uniform up to all
    spread: float = 0.7  # deviation of the logarithm of a gene's efficiency
    hidden: float = 0.0  # of the features, at most, that a copy lacks; uniform from none

    def check(self, lens: Lens) -> None:
        """DataError where there are no counts to thin."""
        have = lens.conversion.have
        if self.copies and have not in COUNTS:
            raise DataError(
                f"--augment thins counts, and {lens.conversion.key} is {have}",
                fix="put raw counts into X, or leave --augment out",
            )

    def efficiency(self, copy: int, width: int) -> np.ndarray:
        """Share of each feature's counts that copy `copy` >= 1 catches, float64 (width,)."""
        rng = np.random.default_rng([self.seed, copy, 0])
        drawn = np.exp(rng.normal(0, self.spread, width))
        return np.minimum(drawn / np.quantile(drawn, FULL), 1)

    def shows(self, copy: int, width: int) -> np.ndarray:
        """Which features copy `copy` >= 1 has, bool (width,); one at least."""
        rng = np.random.default_rng([self.seed, copy, 1])
        share = rng.uniform(0, self.hidden)
        shown = rng.random(width) >= share
        shown[rng.integers(width)] = True
        return shown

    def thinned(self, block: Rows, rows: np.ndarray, copy: int) -> sparse.csr_array:
        """Raw counts of `rows` (numbers in the file) as copy `copy` has them, hidden ones included."""
        values = sparse.csr_array(block, copy=True)
        efficiency = self.efficiency(copy, values.shape[1])
        data = np.empty(values.nnz, dtype=values.dtype)
        for place, row in enumerate(rows):
            part = slice(values.indptr[place], values.indptr[place + 1])
            rng = np.random.default_rng([self.seed, copy, 2, int(row)])
            depth = np.exp(rng.uniform(np.log(self.least), 0))
            counts = np.rint(values.data[part]).astype(np.int64)
            data[part] = rng.binomial(counts, depth * efficiency[values.indices[part]])
        made = sparse.csr_array((data, values.indices, values.indptr), shape=values.shape)
        made.eliminate_zeros()
        return made

    def x(self, lens: Lens, block: Rows, rows: np.ndarray, copy: int) -> sparse.csr_array:
        """Inputs of `rows` as copy `copy` has them, from what `lens.raw` gave of them."""
        if copy == 0:
            return lens.of(block)
        there = np.flatnonzero(lens.columns >= 0)
        shown = self.shows(copy, len(there))
        columns = lens.columns.copy()
        columns[there[~shown]] = -1
        return replace(lens, columns=columns).of(self.thinned(block, rows, copy)[:, shown])
