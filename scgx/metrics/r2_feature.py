"""R2 against the test mean, which no model could know: a textbook figure, a little strict.

The centre is part of the metric: a draw that took its own mean as the centre would have a smaller
spread than the data, and the interval would lie below the value.
"""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Array, Design, Panel, Result


class Metric:
    """1 - sum (T - P)^2 / sum (T - test mean)^2, mean over features that vary in the truth."""

    id = "r2_feature"
    definition = (
        "1 - sum (truth - guess)^2 / sum (truth - c)^2 with c the mean of the scored cells, "
        "mean over features; a feature whose truth is constant is left out and counted"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        m, drawn = panel.moments, panel.drawn
        (spread, flat), flats = m.truth_spread(), drawn.truth_spread()[1]
        values = _share(m.errors(), spread, flat)
        about = drawn.truth_about(m.shift_t + m.t / np.maximum(m.n, 1))
        self._mean.add(panel.columns, values, flat, _share(drawn.errors(), about, flat | flats))

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over a gene set."""
        return self._mean.result(subset)


def _share(errors: Array, spread: Array, left_out: Array) -> Array:
    """1 - errors / spread; NaN where it does not count."""
    safe = np.where(left_out | (spread <= 0), 1.0, spread)
    return np.where(left_out | (spread <= 0), np.nan, 1 - errors / safe)
