"""The share of cells whose class is right; blind to rare classes."""

import numpy as np

from scgx.metrics._calls import Calls, Design, Tally
from scgx.metrics._panel import Result


class Metric:
    """Right cells by all cells."""

    id = "accuracy"
    definition = "share of cells whose guess is the truth; unanswered cells are wrong"
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """The share of right cells."""
        total, drawn = self._tally.total, self._tally.drawn
        n = int(total.n)
        if n == 0:
            return Result(None, np.zeros(0), 0, note="no cells")
        draws = drawn.right.sum(axis=-1) / np.maximum(drawn.n, 1)
        return Result(float(total.right.sum() / n), draws, n)
