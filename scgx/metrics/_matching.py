"""What every metric of matching sees: weights or places of two sides of the same cells.

Cell i of the rows is cell i of the columns; columns beyond the rows are cells that only that side
has. A cell's standing is how many candidates are nearer to it than its true partner, with half of those
that are exactly as near: a match that cannot tell cells apart is at chance, and not perfect.
Distances are computed twice by the same routine on the same blocks, so that equal ones are equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

Array = np.ndarray

ROWS = 512
ROUNDING = 1e-10  # of the largest squared distance: two distances that differ by less are equal


@dataclass(frozen=True)
class Design:
    """How often each bootstrap draw takes each part of the cells: `weights` (draws, parts)."""

    weights: Array
    classes: tuple[str, ...] = ()

    @classmethod
    def plain(cls, classes: tuple[str, ...] = ()) -> Design:
        """One part and no bootstrap: for a metric on its own."""
        return cls(np.zeros((0, 1)), classes)


class Labels(NamedTuple):
    """Codes of the classes of rows (n,) and of columns (m,); -1 is none."""

    rows: Array
    columns: Array


class Standing(NamedTuple):
    """Of each judged cell: candidates nearer than its partner, as near as it (without it), and how
    many candidates there are besides it; by rows and by columns, float64 (n,) each.
    """

    nearer: tuple[Array, Array]
    equal: tuple[Array, Array]
    others: tuple[Array, Array]
    nearest: Array  # (n,) the column nearest to each row, the first of equals

    def rank(self) -> tuple[Array, Array]:
        """From 1, mid-ranks, by rows and by columns."""
        one, other = (1 + n + e / 2 for n, e in zip(self.nearer, self.equal, strict=True))
        return one, other


@dataclass(frozen=True, eq=False)
class Match:
    """A match of n rows and m >= n columns.

    `weights` CSR (n, m), rows sum to 1 or are empty; `rest` is what an entry that is not stored
    weighs. `places` (n, d) and (m, d), or None where the weights are all there is; the first `space`
    of their coordinates (None: all) are of the common space, others make up for hubs. `groups`: codes
    of rows and columns, where only cells of one group are candidates. `rows` are those that are
    judged, `parts` (n,) the part of each.
    """

    weights: sparse.csr_array
    parts: Array
    rest: float = 0.0
    places: tuple[Array, Array] | None = None
    groups: tuple[Array, Array] | None = None
    labels: Labels | None = None
    rows: Array | None = None
    space: int | None = None

    @property
    def judged(self) -> Array:
        """Positions of the rows that are judged."""
        return np.arange(self.weights.shape[0]) if self.rows is None else self.rows

    @cached_property
    def own(self) -> Array:
        """The weight of the true partner of each row, float64 (n,)."""
        weights, n = self.weights, self.weights.shape[0]
        row = np.repeat(np.arange(n), np.diff(weights.indptr))
        mine = weights.indices == row
        own = np.full(n, self.rest)
        own[row[mine]] = weights.data[mine]
        return own

    @cached_property
    def empty(self) -> Array:
        """Rows without any weight, bool (n,)."""
        total = np.asarray(self.weights.sum(axis=1)).ravel()
        return (total <= 0) & (self.rest <= 0)

    @cached_property
    def standing(self) -> Standing:
        """Where each cell's partner stands among the candidates."""
        n, m = self.weights.shape
        own = np.empty(n)
        for part, far in self._distances():
            own[part] = far[np.arange(len(far)), np.arange(part.start, part.stop)]
        nearer, equal = [np.zeros(n), np.zeros(n)], [np.zeros(n), np.zeros(n)]
        others, nearest = [np.zeros(n), np.zeros(n)], np.zeros(n, np.int64)
        slack = self._slack
        for part, far in self._distances():
            here = np.isfinite(far)
            others[0][part] = here.sum(axis=1) - 1
            others[1] += here[:, :n].sum(axis=0)
            nearest[part] = far.argmin(axis=1)
            gap = far - own[part, None]
            nearer[0][part] = (gap < -slack).sum(axis=1)
            equal[0][part] = (np.abs(gap) <= slack).sum(axis=1) - 1
            gap = far[:, :n] - own
            nearer[1] += (gap < -slack).sum(axis=0)
            equal[1] += (np.abs(gap) <= slack).sum(axis=0)
        others[1] -= 1
        equal[1] -= 1
        sides = ((nearer[0], nearer[1]), (equal[0], equal[1]), (others[0], others[1]))
        return Standing(*sides, nearest)

    @cached_property
    def _slack(self) -> float:
        if self.places is None:
            return 0.0
        return ROUNDING * sum(float((side**2).sum(axis=1).max(initial=0)) for side in self.places)

    def _distances(self) -> Iterator[tuple[slice, Array]]:
        """Blocks (rows, m) of squared distances, or of weights below zero; infinite to other groups."""
        n = self.weights.shape[0]
        for start in range(0, n, ROWS):
            part = slice(start, min(start + ROWS, n))
            far = self._far(part)
            if self.groups is not None:
                row, column = self.groups
                far = np.where(row[part, None] == column, far, np.inf)
            yield part, far

    def _far(self, part: slice) -> Array:
        if self.places is None:
            block = self.weights[part]
            far = np.full(block.shape, -self.rest)
            row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            far[row, block.indices] = -block.data
            return far
        left, right = (side.astype(np.float64) for side in self.places)
        return (
            (left[part] ** 2).sum(axis=1)[:, None]
            + (right**2).sum(axis=1)
            - 2 * left[part] @ right.T
        )


class PerRow:
    """A mean over judged cells of one number each, with its draws."""

    def __init__(self, design: Design) -> None:
        parts = design.weights.shape[1]
        self._weights = design.weights
        self._sums, self._n = np.zeros(parts), np.zeros(parts)
        self.odd = 0

    def add(self, values: Array, match: Match) -> None:
        """Values (n,) of all rows; those of the judged ones count, but for NaN."""
        rows = match.judged[np.isfinite(values[match.judged])]
        parts = match.parts[rows]
        self._sums += np.bincount(parts, weights=values[rows], minlength=len(self._sums))
        self._n += np.bincount(parts, minlength=len(self._n))

    @property
    def n(self) -> int:
        """Cells that counted."""
        return int(self._n.sum())

    @property
    def value(self) -> float | None:
        """The mean; None where nothing counted."""
        return float(self._sums.sum() / self._n.sum()) if self.n else None

    @property
    def draws(self) -> Array:
        """The mean of each draw."""
        return (self._weights @ self._sums) / np.maximum(self._weights @ self._n, 1)
