"""Mean absolute error: won by predicting zeros on sparse data, and printed to show just that."""

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
        self._features = np.full(design.n_features, np.nan)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        gap = np.abs(panel.truth.values - panel.guess.values)
        self._sums += gap.sum(axis=1)
        self._features[panel.columns] = gap.mean(axis=0)

    def result(self, subset: str = "") -> Result:
        """The mean over all entries (there are no gene sets)."""
        design = self._design
        parts = np.bincount(design.parts, weights=self._sums, minlength=design.n_parts)
        cells = np.bincount(design.parts, minlength=design.n_parts)
        draws = design.weights @ parts / np.maximum(design.weights @ cells, 1) / design.n_features
        value = float(self._sums.mean() / design.n_features)
        return Result(value, draws, design.n_cells * design.n_features, features=self._features)
