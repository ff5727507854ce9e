"""Training cells as another study would have seen them: shallower, by another chemistry, fewer genes.

Between studies it is depth, capture and the panel that differ, and a model that knows one study only
takes them for biology. A copy of the training cells is dealt to sixteen such studies: each has an
efficiency per gene (log-normal) and, where the model takes absence for zero, a panel (some genes are
hidden); each cell keeps a share of its counts (binomial thinning, which turns a Poisson count into one
of a shallower run). What a row becomes depends on its number and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.convert import Rows
from scgx.learn.panel import Lens

COUNTS = ("counts", "binary")
STUDIES = 16  # of a copy
FULL = 0.9  # genes above this quantile of efficiency keep all that depth leaves


@dataclass(frozen=True)
class Augment:
    """`copies` of each training cell. Study 0 is the cells as they are."""

    copies: int = 0
    seed: int = 0
    least: float = 0.1  # share of its counts that a cell keeps at least; log-uniform up to all
    spread: float = 0.7  # deviation of the logarithm of a gene's efficiency
    hidden: float = 0.0  # of the features, at most, that a study lacks; uniform from none

    def check(self, lens: Lens) -> None:
        """DataError where there are no counts to thin."""
        have = lens.conversion.have
        if self.copies and have not in COUNTS:
            raise DataError(
                f"--augment thins counts, and {lens.conversion.key} is {have}",
                fix="put raw counts into X, or leave --augment out",
            )

    def study(self, copies: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The study of each copy of each row of the file, int64; that of copy 0 is 0."""
        return np.where(copies > 0, (copies - 1) * STUDIES + rows % STUDIES + 1, 0)

    def efficiency(self, study: int, width: int) -> np.ndarray:
        """Share of each feature's counts that study >= 1 catches, float64 (width,)."""
        rng = np.random.default_rng([self.seed, study, 0])
        drawn = np.exp(rng.normal(0, self.spread, width))
        return np.minimum(drawn / np.quantile(drawn, FULL), 1)

    def shows(self, study: int, width: int) -> np.ndarray:
        """Which features study >= 1 has, bool (width,); one at least."""
        rng = np.random.default_rng([self.seed, study, 1])
        share = rng.uniform(0, self.hidden)
        shown = rng.random(width) >= share
        shown[rng.integers(width)] = True
        return shown

    def thinned(self, block: Rows, rows: np.ndarray, study: int) -> sparse.csr_array:
        """Raw counts of `rows` (numbers in the file) as the study has them, hidden ones included."""
        values = sparse.csr_array(block, copy=True)
        efficiency = self.efficiency(study, values.shape[1])
        data = np.empty(values.nnz, dtype=values.dtype)
        for place, row in enumerate(rows):
            part = slice(values.indptr[place], values.indptr[place + 1])
            rng = np.random.default_rng([self.seed, study, 2, int(row)])
            depth = np.exp(rng.uniform(np.log(self.least), 0))
            counts = np.rint(values.data[part]).astype(np.int64)
            data[part] = rng.binomial(counts, depth * efficiency[values.indices[part]])
        made = sparse.csr_array((data, values.indices, values.indptr), shape=values.shape)
        made.eliminate_zeros()
        return made

    def x(self, lens: Lens, block: Rows, rows: np.ndarray, study: int) -> sparse.csr_array:
        """Inputs of `rows` as the study has them, from what `lens.raw` gave of them."""
        if study == 0:
            return lens.of(block)
        there = np.flatnonzero(lens.columns >= 0)
        shown = self.shows(study, len(there))
        columns = lens.columns.copy()
        columns[there[~shown]] = -1
        return replace(lens, columns=columns).of(self.thinned(block, rows, study)[:, shown])
