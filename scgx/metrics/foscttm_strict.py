"""FOSCTTM as GLUE computes it, for comparison: where all cells are in one place it is 0, "perfect"."""

from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """Ties count as not closer, and the true match is one of the candidates."""

    id = "foscttm_strict"
    definition = (
        "share of all candidates, the true partner included, that is strictly nearer; mean over both "
        "directions (Cao and Gao 2022); a constant embedding scores 0, so for comparison only"
    )
    direction = -1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._mean = PerRow(design)

    def update(self, match: Match) -> None:
        """Take in a match."""
        standing = match.standing
        one, other = (
            near / (others + 1)
            for near, others in zip(standing.nearer, standing.others, strict=True)
        )
        self._mean.add((one + other) / 2, match)

    def result(self, variant: str = "") -> Result:
        """The mean over cells."""
        return Result(self._mean.value, self._mean.draws, self._mean.n)
