"""How often the true partner is among the nearest few."""

import numpy as np

from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """The share of cells whose partner is among the k nearest."""

    id = "recall_at_k"
    definition = (
        "share of cells whose true partner is among the k nearest candidates, both directions; cells "
        "that tie for the last places are in by the chance of drawing them"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("1", "10", "100")

    def __init__(self, design: Design) -> None:
        self._means = {variant: PerRow(design) for variant in self.variants}

    def update(self, match: Match) -> None:
        """Take in a match."""
        standing = match.standing
        for variant, mean in self._means.items():
            sides = [
                np.clip((int(variant) - near) / (equal + 1), 0, 1)
                for near, equal in zip(standing.nearer, standing.equal, strict=True)
            ]
            mean.add((sides[0] + sides[1]) / 2, match)

    def result(self, variant: str = "10") -> Result:
        """The mean over cells."""
        mean = self._means[variant]
        return Result(mean.value, mean.draws, mean.n)
