"""On what share of features is the guess better than the strongest baseline?"""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Panel, Result, pearson


class Metric:
    """Share of features whose r is above that of the strongest printed baseline."""

    id = "frac_above"
    definition = (
        "share of features whose Pearson correlation across cells exceeds that of the strongest "
        "printed baseline (0 for constants)"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        rival = self._design.rival
        if rival is None:
            return
        r, flat = pearson(panel.moments)
        above = (r > rival[panel.columns]).astype(np.float64)
        self._mean.add(panel.columns, above, flat)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The share over all features."""
        note = "" if self._design.rival is not None else "needs a baseline"
        return self._mean.result(subset, note)
