"""Is the true class among the three best? Ties share their ranks."""

import numpy as np

from scgx.metrics._calls import Calls, Design, PerCell
from scgx.metrics._panel import Result


class Metric:
    """Truth within three."""

    id = "top3_accuracy"
    definition = "share of true classes of rank <= 3, rank = 1 + #{p > p_true} + 1/2 #{other ties}"
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._mean = PerCell(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        if calls.probability is None:
            return
        own = calls.probability[np.arange(len(calls.truth)), calls.truth][:, None]
        above = (calls.probability > own).sum(axis=1)
        ties = (calls.probability == own).sum(axis=1) - 1
        self._mean.add((1 + above + 0.5 * ties <= 3).astype(float), calls.parts)

    def result(self) -> Result:
        """The share."""
        return self._mean.result()
