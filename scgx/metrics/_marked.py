"""Genes that set a class apart from the others: fold changes, a test, and which are sure."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from scgx.metrics._sets import FEWEST, Array, CellSet, Pair

PSEUDO = 0.1  # counts per 10,000 added to means: fold changes of silent genes stay finite
ALPHA = 0.05
FEWEST_GENES = 10


class Contrast(NamedTuple):
    """One class against the rest: log2 fold change, Welch's t and which are significant, (genes,)."""

    change: Array
    t: Array
    sure: Array


def contrasts(pair: Pair) -> Iterator[tuple[Contrast, Contrast]]:
    """Real and made contrast of every class with 20 cells or more, and 20 others, on both sides."""
    for code in np.unique(pair.real.codes):
        sides = [side.codes == code for side in (pair.real, pair.fake)]
        if min(min(int(one.sum()), int((~one).sum())) for one in sides) >= FEWEST:
            real, fake = (contrast(side, one) for side, one in zip(pair[:2], sides, strict=True))
            yield real, fake


def contrast(cells: CellSet, inside: Array) -> Contrast:
    """Cells `inside` (n,) against the others; Welch on log1p-cp10k, Benjamini-Hochberg at .05."""
    (m, v, c), (m2, v2, c2) = (_moments(cells, rows) for rows in (inside, ~inside))
    n, k = int(inside.sum()), int((~inside).sum())
    error = v / n + v2 / k
    flat = error <= 0
    t = np.where(flat, 0, (m - m2) / np.sqrt(np.where(flat, 1, error)))
    steps = (v / n) ** 2 / (n - 1) + (v2 / k) ** 2 / (k - 1)
    free = np.where(flat, 1, error**2 / np.where(flat, 1, steps))
    p = np.where(flat, 1, 2 * stats.t.sf(np.abs(t), free))
    change = np.log2(c + PSEUDO) - np.log2(c2 + PSEUDO)
    return Contrast(change, t, stats.false_discovery_control(p) <= ALPHA)


def _moments(cells: CellSet, rows: Array) -> tuple[Array, Array, Array]:
    """Mean and variance of log1p-cp10k, and mean counts per 10,000, (genes,) each."""
    log = cells.log[np.flatnonzero(rows)]
    n = log.shape[0]
    mean = np.asarray(log.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(log.multiply(log).mean(axis=0), dtype=np.float64).ravel()
    linear = log.copy()
    linear.data = np.expm1(linear.data)
    variance = np.maximum(square - mean**2, 0) * n / (n - 1)
    return mean, variance, np.asarray(linear.mean(axis=0), dtype=np.float64).ravel()
