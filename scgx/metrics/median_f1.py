"""The F1 of the class in the middle: blind to a few bad classes."""

import numpy as np

from scgx.metrics._calls import Calls, Counts, Design, Tally, over_classes
from scgx.metrics._panel import Result


class Metric:
    """Median F1."""

    id = "median_f1"
    definition = "median of 2TP/(2TP+FP+FN) over the classes of the truth"
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """Median F1 over classes present in the truth."""
        total = self._tally.total
        return over_classes(_median(total), _median(self._tally.drawn), total.f1())


def _median(counts: Counts) -> np.ndarray:
    f1 = np.where(counts.true > 0, counts.f1(), np.nan)
    if not f1.size:
        return np.zeros(f1.shape[:-1])
    return np.nanmedian(f1, axis=-1)
