"""Cells by how sure a guess is of them: what every measure of confidence that has no bins rests on.

Cells of equal confidence are one point, so that their order in the file is of no account; a bootstrap
draw weighs the parts within each point.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.metrics._calls import Array, Calls, Design

MOST = 20_000  # points that a draw is made of; beyond, neighbours in confidence go together


@dataclass(frozen=True)
class Points:
    """Levels of confidence, the surest first: cells, wrong ones and summed confidence of each (p,)."""

    n: Array
    wrong: Array
    confidence: Array

    def area(self) -> float:
        """The mean, over cells from the surest to the least sure, of the error among those so far."""
        n, wrong = self.n.cumsum(), self.wrong.cumsum()
        return float((self.n * wrong / np.maximum(n, 1)).sum() / max(n[-1], 1))

    def gap(self, bins: int) -> float:
        """The mean distance of accuracy and confidence in bins of equally many cells.

        An edge within a level takes its share of that level's cells to either side.
        """
        n = np.concatenate([[0.0], self.n.cumsum()])
        over = np.concatenate([[0.0], (self.n - self.wrong - self.confidence).cumsum()])
        edges = np.linspace(0, n[-1], bins + 1)
        return float(np.abs(np.diff(np.interp(edges, n, over))).sum() / max(n[-1], 1))


class Ranked:
    """Cells, block by block; then their points, over all cells or for each draw."""

    def __init__(self, design: Design) -> None:
        self._weights = design.weights
        self._cells: list[tuple[Array, Array, Array]] = []

    def add(self, calls: Calls) -> None:
        """Take in some cells; nothing where there are no probabilities."""
        if calls.confidence is not None:
            wrong = calls.truth != calls.best
            self._cells.append((calls.confidence, wrong, calls.parts.astype(np.int32)))

    def __len__(self) -> int:
        return sum(len(each[0]) for each in self._cells)

    def points(self) -> Points:
        """Over all cells, of which there is one at least."""
        confidence, wrong, _ = self._joined()
        place = _levels(confidence)
        n = np.bincount(place)
        return Points(n, np.bincount(place, wrong), np.bincount(place, confidence))

    def drawn(self) -> "list[Points]":
        """For each draw, of 20,000 points at most."""
        if not len(self._weights):
            return []
        confidence, wrong, parts = self._joined()
        place = _levels(confidence)
        place = place * MOST // (place.max() + 1) if place.max() >= MOST else place
        shape = (int(place.max()) + 1, self._weights.shape[1])
        ones = np.ones(len(place))
        n, bad, sure = (
            sparse.csr_array(sparse.coo_array((each, (place, parts)), shape=shape))
            for each in (ones, wrong.astype(np.float64), confidence)
        )
        return [Points(n @ draw, bad @ draw, sure @ draw) for draw in self._weights]

    def _joined(self) -> tuple[Array, Array, Array]:
        confidence, wrong, parts = (np.concatenate(each) for each in zip(*self._cells))
        return confidence, wrong, parts


def _levels(confidence: Array) -> Array:
    """Which level each cell (n,) is at, from 0, the surest."""
    return np.unique(-confidence, return_inverse=True)[1].reshape(-1)
