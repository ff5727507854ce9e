"""Can true pairs be told from all other pairs of cells, whatever the threshold?"""

import numpy as np

from scgx.metrics._matching import Design, Match
from scgx.metrics._pair_curve import curve
from scgx.metrics._panel import Result


class Metric:
    """The area under the receiver operating characteristic over all pairs."""

    id = "pairing_auroc"
    definition = (
        "AUROC of the weights of all pairs of rows and columns, true partners against the others; "
        "pairs that are not stored tie at the bottom; mid-ranks"
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
        if true.sum() and other.sum():
            below = other.sum() - np.cumsum(other)
            area = float((true * (below + other / 2)).sum() / true.sum() / other.sum())
            self._result = Result(area, np.zeros(0), len(match.judged))

    def result(self, variant: str = "") -> Result:
        """The area; it has no draws, for pairs do not belong to one part."""
        return self._result
