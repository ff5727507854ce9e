"""How much of its weight a match gives to the true partner: what the multi-modal benchmark ranks by."""

import numpy as np

from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """The mean weight of true partners."""

    id = "match_probability"
    definition = (
        "weights below zero are 0 and rows are divided by their sum (an empty row stays 0 and is "
        "counted); mean over cells of the weight of the true partner"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._mean, self._empty = PerRow(design), 0

    def update(self, match: Match) -> None:
        """Take in a match."""
        self._mean.add(match.own, match)
        self._empty += int(np.count_nonzero(match.empty[match.judged]))

    def result(self, variant: str = "") -> Result:
        """The mean over cells; rows without weights are counted."""
        return Result(self._mean.value, self._mean.draws, self._mean.n, self._empty)
