"""Are the two modalities mixed in the common space, whoever is whose partner?

The alignment score of Seurat (Butler 2018) as GLUE computes it. Neighbours at exactly the distance of
the last one count by their share, so that a constant embedding is mixed by chance and not by order.
"""

import numpy as np

from scgx.metrics._matching import ROUNDING, ROWS, Array, Design, Match
from scgx.metrics._panel import Result

REPEATS = 4
SHARE = 0.01  # of the cells that are compared: how many neighbours are looked at
MOST = 5_000  # cells of a side


class Metric:
    """1 where the neighbours of a cell are of both modalities alike, 0 where of its own alone."""

    id = "seurat_alignment"
    definition = (
        "(k - own) * 2 / k, at most 1: of the k nearest of both sides, own are of the cell's side; k = "
        "1 % of the cells, sides drawn to one size of at most 5,000, mean of 4 draws (seeds 0 to 3)"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._match: Match | None = None

    def update(self, match: Match) -> None:
        """Take in a match."""
        self._match = match

    def result(self, variant: str = "") -> Result:
        """The mean of the draws; a property of the space, so without an interval."""
        if self._match is None or self._match.places is None:
            return Result(None, np.zeros(0), 0, note="no common space")
        width = slice(self._match.space)
        left, right = (side[:, width].astype(np.float64) for side in self._match.places)
        left = left[self._match.judged]
        size = min(len(left), len(right), MOST)
        repeats = 1 if size == len(left) == len(right) else REPEATS
        scores = []
        for seed in range(repeats):
            rng = np.random.default_rng(seed)
            some = [np.sort(rng.choice(len(side), size, replace=False)) for side in (left, right)]
            scores.append(_score(np.concatenate([left[some[0]], right[some[1]]])))
        return Result(float(np.mean(scores)), np.zeros(0), 2 * size)


def _score(places: Array) -> float:
    """Of cells (2n, d), the first half of one side."""
    n = len(places)
    side = np.arange(n) >= n // 2
    k = max(round(SHARE * n), 1)
    square = (places**2).sum(axis=1)
    slack, own = 2 * ROUNDING * float(square.max(initial=0)), 0.0
    for start in range(0, n, ROWS):
        some = places[start : start + ROWS]
        far = square[start : start + ROWS, None] + square - 2 * some @ places.T
        at = np.arange(len(some))
        far[at, start + at] = np.inf
        edge = np.partition(far, k - 1, axis=1)[:, k - 1 : k]
        nearer, equal = far < edge - slack, np.abs(far - edge) <= slack
        mine = side[start : start + ROWS, None] == side
        left = k - nearer.sum(axis=1)  # places for those at the edge
        own += float((nearer & mine).sum())
        own += float((left * (equal & mine).sum(axis=1) / equal.sum(axis=1)).sum())
    return min((k - own / n) * 2 / k, 1.0)
