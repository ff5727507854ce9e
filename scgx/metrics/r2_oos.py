"""Out-of-sample R2: the train mean scores exactly 0, what is worse than it scores below."""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Array, Design, Panel, Result


class Metric:
    """1 - sum (T - P)^2 / sum (T - train mean)^2, mean over features that vary in the truth."""

    id = "r2_oos"
    definition = (
        "1 - sum (truth - guess)^2 / sum (truth - c)^2 with c the mean of the training rows, "
        "mean over features; a feature whose truth is constant is left out and counted"
    )
    direction = 1
    gene_sets = True

    def __init__(self, design: Design) -> None:
        self._design = design
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        centre = self._design.train_mean
        if centre is None:
            return
        m, drawn = panel.moments, panel.drawn
        flat = m.truth_spread()[1]
        about = centre[panel.columns]
        values = _share(m.errors(), m.truth_about(about), flat)
        draws = _share(drawn.errors(), drawn.truth_about(about), flat | drawn.truth_spread()[1])
        self._mean.add(panel.columns, values, flat, draws)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over a gene set."""
        note = "" if self._design.train_mean is not None else "needs the mean of training rows"
        return self._mean.result(subset, note)


def _share(errors: Array, spread: Array, left_out: Array) -> Array:
    """1 - errors / spread; NaN where it does not count."""
    safe = np.where(left_out | (spread <= 0), 1.0, spread)
    return np.where(left_out | (spread <= 0), np.nan, 1 - errors / safe)
