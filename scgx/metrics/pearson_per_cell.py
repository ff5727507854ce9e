"""Correlation within a cell, across features: explained by the mean profile."""

from typing import Self

import numpy as np

from scgx.metrics._panel import Design, Moments, Panel, Result, pearson


class Metric:
    """Mean over cells of r(T_i, P_i) across features; no variance on a side counts 0."""

    id = "pearson_per_cell"
    definition = (
        "mean over all cells of the Pearson correlation of truth and guess across features; "
        "a cell without variance on either side counts 0"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._sums = np.zeros((5, design.n_cells))
        self._n = np.zeros(design.n_cells)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        t, p = panel.truth.values, panel.guess.values
        self._n += t.shape[1] if panel.known is None else panel.known.sum(axis=1)
        self._sums[0] += t.sum(axis=1)
        self._sums[1] += p.sum(axis=1)
        for row, (left, right) in enumerate(((t, t), (p, p), (t, p)), start=2):
            self._sums[row] += np.einsum("ij,ij->i", left, right)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._sums += other._sums
        self._n += other._n

    def result(self, subset: str = "") -> Result:
        """The mean over cells (there are no gene sets)."""
        design = self._design
        none = np.zeros(design.n_cells)
        r, flat = pearson(Moments.of([self._n, *self._sums], none, none))
        some = self._n > 0  # of a cell, anything was measured
        owners = design.parts[some]
        parts = np.bincount(owners, weights=r[some], minlength=design.n_parts)
        cells = np.bincount(owners, minlength=design.n_parts)
        draws = design.weights @ parts / np.maximum(design.weights @ cells, 1)
        value = float(r[some].mean()) if some.any() else None
        return Result(value, draws, int(some.sum()), int(flat[some].sum()))
