"""The mean surprise at the true class: what a probability costs when it is wrong."""

import numpy as np

from scgx.metrics._calls import Calls, Design, PerCell
from scgx.metrics._panel import Result

LEAST = 1e-12


class Metric:
    """Log loss."""

    id = "nll"
    definition = "mean over cells of -ln p of the true class, p clipped at 1e-12 and counted"
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
        low = own < LEAST
        self._mean.add(-np.log(np.where(low, LEAST, own)), calls.parts, int(low.sum()))

    def result(self) -> Result:
        """The mean; clipped cells are degenerate."""
        return self._mean.result()
