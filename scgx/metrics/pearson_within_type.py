"""Correlation inside cell types: what is predicted beyond the type of a cell."""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Moments, Panel, Result, pearson


class Metric:
    """r per feature inside each type; mean over types, then over features."""

    id = "pearson_within_type"
    definition = (
        "per type with at least 20 scored cells the Pearson correlation of each feature inside the "
        "type (no variance counts 0); mean over types, then over features"
    )
    direction = 1
    gene_sets = True

    def __init__(self, design: Design) -> None:
        self._design = design
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        types = panel.by_type
        if types is None:
            return
        n_types = len(self._design.type_names)
        flat = np.zeros(types.t.shape[-1], dtype=bool)
        mean = _Mean(flat.shape)
        drawn = _Mean((self._design.weights.shape[0], len(flat)))
        for i in range(n_types):
            one = Moments.of((x[i] for x in types[:6]), types.shift_t, types.shift_p)
            mine, degenerate = pearson(one.over_parts())
            mean.add(mine)
            flat |= degenerate & np.isfinite(mine)
            if len(drawn.total):
                drawn.add(pearson(one.drawn(self._design.weights))[0])
        self._mean.add(panel.columns, mean.value(), flat, drawn.value())

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over a gene set; degenerate are the features that are so in any type."""
        known = len(self._design.type_names)
        return self._mean.result(subset, "" if known else "needs a --label with 20 cells in a type")


class _Mean:
    """A mean over types; a type in which a feature was not measured does not count for it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total, self.n = np.zeros(shape), np.zeros(shape)

    def add(self, r: np.ndarray) -> None:
        known = np.isfinite(r)
        self.total += np.where(known, r, 0.0)
        self.n += known

    def value(self) -> np.ndarray:
        return np.where(self.n > 0, self.total / np.maximum(self.n, 1), np.nan)
