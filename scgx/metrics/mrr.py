"""The mean reciprocal rank of the true partner."""

from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """One over the mid-rank, both directions."""

    id = "mrr"
    definition = (
        "mean over cells and both directions of 1 / rank of the true partner among all candidates by "
        "nearness, mid-ranks"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._mean = PerRow(design)

    def update(self, match: Match) -> None:
        """Take in a match."""
        one, other = match.standing.rank()
        self._mean.add((1 / one + 1 / other) / 2, match)

    def result(self, variant: str = "") -> Result:
        """The mean over cells."""
        return Result(self._mean.value, self._mean.draws, self._mean.n)
