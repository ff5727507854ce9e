"""F1 of all classes pooled; the same as accuracy where every cell is answered."""

import numpy as np

from scgx.metrics._calls import Calls, Counts, Design, Tally, over_classes
from scgx.metrics._panel import Result


class Metric:
    """Pooled F1."""

    id = "f1_micro"
    definition = "2TP/(2TP+FP+FN) with TP, FP and FN summed over classes"
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """Pooled F1."""
        total = self._tally.total
        return over_classes(_pooled(total), _pooled(self._tally.drawn), total.f1())


def _pooled(counts: Counts) -> np.ndarray:
    both = counts.true.sum(axis=-1) + counts.guessed.sum(axis=-1)
    return 2 * counts.right.sum(axis=-1) / np.maximum(both, 1)
