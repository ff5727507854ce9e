"""The fraction of cells that are closer than the true match: 0 is best, .5 is chance."""

from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """The mean over both directions, with mid-ranks."""

    id = "foscttm"
    definition = (
        "of the candidates besides the true partner, the share that is nearer plus half of the share "
        "that is as near; mean over cells and over both directions"
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
        sides = zip(standing.nearer, standing.equal, standing.others, strict=True)
        shares = [(near + equal / 2) / others.clip(1) for near, equal, others in sides]
        self._mean.add((shares[0] + shares[1]) / 2, match)

    def result(self, variant: str = "") -> Result:
        """The mean over cells."""
        return Result(self._mean.value, self._mean.draws, self._mean.n)
