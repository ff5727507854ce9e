"""Correlation within a cell, across features: explained by the mean profile."""

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

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        t, p = panel.truth.values, panel.guess.values
        self._sums[0] += t.sum(axis=1)
        self._sums[1] += p.sum(axis=1)
        for row, (left, right) in enumerate(((t, t), (p, p), (t, p)), start=2):
            self._sums[row] += np.einsum("ij,ij->i", left, right)

    def result(self, subset: str = "") -> Result:
        """The mean over cells (there are no gene sets)."""
        design = self._design
        none = np.zeros(design.n_cells)
        n = np.full(design.n_cells, float(design.n_features))
        r, flat = pearson(Moments.of([n, *self._sums], none, none))
        parts = np.bincount(design.parts, weights=r, minlength=design.n_parts)
        cells = np.bincount(design.parts, minlength=design.n_parts)
        draws = design.weights @ parts / np.maximum(design.weights @ cells, 1)
        return Result(float(r.mean()), draws, len(r), int(flat.sum()))
