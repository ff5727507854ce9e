"""Correlation of type means per feature: does the average of a type move as it should?"""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Moments, Panel, Result, pearson, sums


class Metric:
    """r between the type means of truth and guess, across types, mean over features."""

    id = "pearson_pseudobulk"
    definition = (
        "Pearson correlation across types of the mean of truth and the mean of guess, per feature "
        "(no variance counts 0), mean over features; needs three types of at least 20 scored cells"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        types = panel.by_type
        if types is None or len(self._design.type_names) < 3:
            return
        truth, guess = _means(types)
        known = np.broadcast_to(types.n.sum(axis=1) > 0, truth.shape)
        codes = np.zeros(len(truth), dtype=np.intp)
        about = sums(truth, guess, codes, 1, None if known.all() else known)
        values, flat = pearson(about.over_parts())
        self._mean.add(panel.columns, values, flat)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over features."""
        enough = len(self._design.type_names) >= 3
        note = "" if enough else "needs a --label with three types of 20 cells"
        return self._mean.result(subset, note)


def _means(types: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Means per type of truth and guess, less each column's shift: (types, c)."""
    n = np.maximum(types.n.sum(axis=1), 1)
    return types.t.sum(axis=1) / n, types.p.sum(axis=1) / n
