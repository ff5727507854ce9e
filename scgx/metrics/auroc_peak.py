"""Area under the ROC curve per peak: are open cells ranked above closed ones?"""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Panel, Result


class Metric:
    """Mean over peaks with both classes of the AUROC of the guess; ties count one half."""

    id = "auroc_peak"
    definition = (
        "per peak the area under the ROC curve of the guess against presence in the truth (ties "
        "one half), mean over peaks with both classes; peaks of one class are left out and counted"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the peaks of a panel."""
        here = panel.truth.values > 0
        n_open = here.sum(axis=0).astype(np.float64)
        n = len(here) if panel.known is None else panel.known.sum(axis=0)
        n_closed = n - n_open
        one = (n_open == 0) | (n_closed == 0)
        ranks = np.where(here, panel.guess.ranks, 0.0).sum(axis=0)
        area = ranks - n_open * (n_open + 1) / 2
        values = np.where(one, np.nan, area / np.where(one, 1.0, n_open * n_closed))
        self._mean.add(panel.columns, values, one)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over peaks; it has no draws, for ranks do not add up over groups."""
        return self._mean.result(subset)
