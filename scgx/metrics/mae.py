"""Mean absolute error: won by predicting zeros on sparse data, and printed to show just that."""

from typing import Self

import numpy as np

from scgx.metrics._panel import Design, Panel, Result


class Metric:
    """Mean |T - P| over all entries."""

    id = "mae"
    definition = "mean of |truth - guess| over all cells x features, zeros included"
    direction = -1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._sums = np.zeros(design.n_cells)
        self._n = np.zeros(design.n_cells)
        self._features = np.full(design.n_features, np.nan)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        gap = np.abs(panel.truth.values - panel.guess.values)
        known = np.ones(gap.shape, bool) if panel.known is None else panel.known
        self._sums += gap.sum(axis=1)
        self._n += known.sum(axis=1)
        n = known.sum(axis=0)
        self._features[panel.columns] = np.where(n > 0, gap.sum(axis=0) / np.maximum(n, 1), np.nan)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._sums += other._sums
        self._n += other._n
        self._features[columns] = other._features[columns]

    def result(self, subset: str = "") -> Result:
        """The mean over all entries (there are no gene sets)."""
        design = self._design
        parts = np.bincount(design.parts, weights=self._sums, minlength=design.n_parts)
        entries = np.bincount(design.parts, weights=self._n, minlength=design.n_parts)
        draws = design.weights @ parts / np.maximum(design.weights @ entries, 1)
        n = int(self._n.sum())
        return Result(float(self._sums.sum() / max(n, 1)), draws, n, features=self._features)
