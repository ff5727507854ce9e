"""Which genes differ between cells and their controls: Wilcoxon's rank sum, gene by gene.

The rules are those of cell-eval: a gene is tested only if its controls express it (a rule that looks
at the perturbed cells would tell the sign), changes are of arithmetic means of counts per million, and
false discoveries are controlled within a perturbation.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from scgx.metrics._ranks import midranks

Array = np.ndarray

ALPHA = 0.05
LEAST = 5.0  # counts per million in the mean of the controls
PSEUDO = 1e-9
ROUNDING = 1e-5  # a fold change, in log2, that float32 makes of nothing
_PANEL = 1_024  # genes that are ranked at a time


class Contrast(NamedTuple):
    """Cells against controls, (genes,): log2 fold change, z, which are sure; untested ones are 0."""

    change: Array
    z: Array
    sure: Array

    def ordered(self) -> Array:
        """Positions of the sure genes, the most changed first."""
        found = np.flatnonzero(self.sure)
        return found[np.argsort(-np.abs(self.change[found]), kind="stable")]


def contrast(cells: Array, controls: Array, left_out: Array) -> Contrast:
    """Cells (n, genes) against controls (m, genes), log1p-cp10k; genes `left_out` are not tested."""
    width = cells.shape[1]
    per_million = 100.0  # of counts per 10,000
    mean, base = (per_million * _linear(side) for side in (cells, controls))
    tested = base > LEAST
    tested[left_out] = False
    change, z, p = np.zeros(width), np.zeros(width), np.ones(width)
    change[tested] = np.log2((mean[tested] + PSEUDO) / (base[tested] + PSEUDO))
    change[np.abs(change) < ROUNDING] = 0.0
    where = np.flatnonzero(tested)
    for start in range(0, len(where), _PANEL):
        some = where[start : start + _PANEL]
        z[some] = rank_sum(cells[:, some], controls[:, some])
    p[where] = 2 * stats.norm.sf(np.abs(z[where]))
    sure = np.zeros(width, dtype=bool)
    if len(where):
        sure[where] = stats.false_discovery_control(p[where]) <= ALPHA
    return Contrast(change, z, sure)


def rank_sum(x: Array, y: Array) -> Array:
    """z of the rank sum of x (n, c) among x and y (m, c), down each column; ties share their ranks."""
    n, m = len(x), len(y)
    total = n + m
    ranks = midranks(np.vstack([x, y])) - (total + 1) / 2
    spread = (ranks**2).sum(axis=0) * n * m / max(total * (total - 1), 1)
    flat = spread <= 1e-9
    return np.where(flat, 0.0, ranks[:n].sum(axis=0) / np.sqrt(np.where(flat, 1, spread)))


def _linear(log: Array) -> Array:
    """Mean of counts per 10,000, float64 (genes,); a predicted value below zero counts as none."""
    return np.expm1(np.maximum(log, 0), dtype=np.float64).mean(axis=0)
