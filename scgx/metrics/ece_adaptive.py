"""The gap of confidence and accuracy in bins of equally many cells: a crowd near 1 is not one bin."""

import numpy as np

from scgx.metrics._calls import Calls, Design
from scgx.metrics._panel import Result
from scgx.metrics._ranked import Ranked

BINS = 15


class Metric:
    """Expected calibration error, adaptive bins."""

    id = "ece_adaptive"
    definition = "15 bins of n/15 cells by top probability: mean |accuracy_b - confidence_b|"
    direction = -1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._ranked = Ranked(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._ranked.add(calls)

    def result(self) -> Result:
        """The error; cells of equal confidence on both sides of an edge are shared out."""
        if not len(self._ranked):
            return Result(None, np.zeros(0), 0, note="no probabilities")
        draws = np.array([each.gap(BINS) for each in self._ranked.drawn()])
        return Result(self._ranked.points().gap(BINS), draws, len(self._ranked))
