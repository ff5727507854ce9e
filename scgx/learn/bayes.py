"""Naive Bayes scores: which kinds of cell would have these features.

Training cells are put into kinds by their target components (k-means), and each feature gets, per
kind, the log ratio of its frequency there to its frequency overall. The score of a cell is the sum over
the features it has, divided by the root of their number. Ridge weighs features jointly and pays in
variance; naive Bayes takes one feature at a time and pays in bias: the two err differently, and a
model that sees both is better than either.

As with any evidence that a second model learns from, training cells are scored by frequencies that
were counted without their fold.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

PSEUDOCOUNT = 1.0


class Kinds(NamedTuple):
    """score = x @ ratio / sqrt(sum of x)"""

    ratio: np.ndarray  # (n_in, kinds) float32, log of frequency in the kind over that in all

    def __call__(self, x: sparse.csr_array) -> np.ndarray:
        """Scores of cells x: (n, kinds) float32, summed in float64."""
        mass = np.maximum(np.asarray(x.sum(axis=1), np.float64).ravel(), 1e-9)
        return ((x @ self.ratio.astype(np.float64)) / np.sqrt(mass)[:, None]).astype(np.float32)


def score_kinds(
    x: sparse.csr_array, target: np.ndarray, folds: np.ndarray, *, kinds: int, seed: int
) -> tuple[Kinds, np.ndarray]:
    """Fit on training rows x (n, n_in) >= 0 and target (n, k); also their held-out scores."""
    kind = k_means(target, kinds, seed=seed)
    member = np.zeros((len(target), kind.max() + 1), np.float32)
    member[np.arange(len(target)), kind] = 1
    held_out = np.empty(member.shape, np.float32)
    total = _count(x, member)
    for fold in np.unique(folds):
        own = folds == fold
        without = Kinds(_ratio(total - _count(x[own], member[own])))
        held_out[own] = without(x[own])
    return Kinds(_ratio(total)), held_out


def k_means(points: np.ndarray, k: int, *, seed: int, iterations: int = 30) -> np.ndarray:
    """Lloyd's algorithm from k-means++ seeds: a cluster number (n,) per point; empty ones vanish."""
    rng = np.random.default_rng(seed)
    points = points.astype(np.float64)
    centres = points[[rng.integers(len(points))]]
    nearest = ((points - centres[0]) ** 2).sum(axis=1)
    for _ in range(min(k, len(points)) - 1):
        share = nearest / nearest.sum() if nearest.sum() > 0 else None
        centres = np.vstack([centres, points[rng.choice(len(points), p=share)]])
        nearest = np.minimum(nearest, ((points - centres[-1]) ** 2).sum(axis=1))
    label = np.zeros(len(points), np.int64)
    for _ in range(iterations):
        distance = (centres**2).sum(axis=1) - 2 * points @ centres.T
        label = np.unique(distance.argmin(axis=1), return_inverse=True)[1]
        size = np.bincount(label)
        sums = np.zeros((len(size), points.shape[1]))
        np.add.at(sums, label, points)
        centres = sums / size[:, None]
    return label


def _count(x: sparse.csr_array, member: np.ndarray) -> np.ndarray:
    """How much of each feature each kind has: (n_in, kinds) float64."""
    return np.asarray(sparse.csr_array(x.T) @ member.astype(np.float64))


def _ratio(count: np.ndarray) -> np.ndarray:
    overall = count.sum(axis=1, keepdims=True)
    share = overall / max(overall.sum(), 1e-12)
    prior = PSEUDOCOUNT * len(share)
    expected = count.sum(axis=0) + prior
    seen = overall > 0
    safe = np.where(seen, share, 1)
    ratio = np.log((count + prior * safe) / expected / safe)
    return np.where(seen, ratio, 0).astype(np.float32)
