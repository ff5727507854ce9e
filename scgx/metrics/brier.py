"""The squared distance between probabilities and what was the case."""

import numpy as np

from scgx.metrics._calls import Calls, Design, PerCell
from scgx.metrics._panel import Result


class Metric:
    """Brier score."""

    id = "brier"
    definition = "mean over cells of the sum over classes of (p - [class is true])^2"
    direction = -1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._mean = PerCell(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        if calls.probability is None:
            return
        own = calls.probability[np.arange(len(calls.truth)), calls.truth]
        self._mean.add((calls.probability**2).sum(axis=1) - 2 * own + 1, calls.parts)

    def result(self) -> Result:
        """The mean."""
        return self._mean.result()
