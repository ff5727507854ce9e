"""The precision of the likeliest pairs of cells, over all thresholds."""

import numpy as np

from scgx.metrics._matching import Array, Design, Match
from scgx.metrics._pair_curve import curve
from scgx.metrics._panel import Result


class Metric:
    """The area under precision and recall over all pairs."""

    id = "pairing_aupr"
    definition = (
        "area under precision and recall of the weights of all pairs; within equal weights hits and "
        "misses arrive evenly (Davis and Goadrich 2006); pairs that are not stored tie at the bottom"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._result = Result(None, np.zeros(0), 0, note="no pairs")

    def update(self, match: Match) -> None:
        """Take in a match."""
        true, other = curve(match)
        if true.sum():
            self._result = Result(area(true, other), np.zeros(0), len(match.judged))

    def result(self, variant: str = "") -> Result:
        """The area; it has no draws, for pairs do not belong to one part."""
        return self._result


def area(true: Array, other: Array) -> float:
    """Of blocks by falling weight: the integral of precision over recall within each, added up."""
    held = true > 0
    hits = (np.cumsum(true) - true)[held]
    seen = (np.cumsum(true + other) - true - other)[held]
    gained, per_hit = true[held], 1 + other[held] / true[held]
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = (hits - seen / per_hit) / per_hit * np.log1p(per_hit * gained / seen)
    whole = gained / per_hit + np.where(seen > 0, bend, 0)
    return float(whole.sum() / true.sum())
