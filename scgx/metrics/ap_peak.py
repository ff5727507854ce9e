"""Average precision per peak: the ROC's companion where open cells are few."""

from typing import Self

import numpy as np

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Array, Design, Panel, Result


class Metric:
    """Mean over peaks with both classes of the average precision of the guess."""

    id = "ap_peak"
    definition = (
        "per peak sum (R_k - R_k-1) P_k over the distinct thresholds of the guess, mean over peaks "
        "with both classes; peaks of one class are left out and counted"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the peaks of a panel."""
        here = panel.truth.values > 0
        n_open = here.sum(axis=0)
        known = np.ones(here.shape, bool) if panel.known is None else panel.known
        one = (n_open == 0) | (n_open == known.sum(axis=0))
        values = np.full(here.shape[1], np.nan)
        for column in np.flatnonzero(~one):
            rows = known[:, column]
            scores = panel.guess.values[rows, column]
            values[column] = average_precision(here[rows, column], scores)
        self._mean.add(panel.columns, values, one)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over peaks; it has no draws, for ranks do not add up over groups."""
        return self._mean.result(subset)


def average_precision(here: Array, score: Array) -> float:
    """Of one peak: equal scores form one threshold; `here` (n,) has both classes."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.concatenate([np.flatnonzero(np.diff(ordered)), [len(score) - 1]])
    hits = np.cumsum(here[order])[last]
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(gained * hits / (last + 1)))
