"""The mean F1 of classes, each as heavy as its cells: close to accuracy."""

import numpy as np

from scgx.metrics._calls import Calls, Counts, Design, Tally, over_classes
from scgx.metrics._panel import Result


class Metric:
    """F1 weighted by support."""

    id = "f1_weighted"
    definition = (
        "mean of 2TP/(2TP+FP+FN) over classes, weighted by the cells of the class in the truth"
    )
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """F1 weighted by support."""
        total = self._tally.total
        return over_classes(_weighted(total), _weighted(self._tally.drawn), total.f1())


def _weighted(counts: Counts) -> np.ndarray:
    f1 = np.nan_to_num(counts.f1())
    return (f1 * counts.true).sum(axis=-1) / np.maximum(counts.true.sum(axis=-1), 1)
