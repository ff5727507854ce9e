"""Gaussian mixtures, one for each group of cells: where latents lie, to draw new ones from.

Every component has a full covariance that leans on the covariance within all groups, the more the fewer
cells it has. How many components there are is chosen by rows that were held out.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from scipy import linalg, special

STEPS = 60  # of EM at most
FLOOR = 1e-4  # least variance


class Mixture(NamedTuple):
    """Components of all groups, one group after another; those of group g end at ends[g].

    weights float64 (m,), means (m, d), factors (m, d, d): lower triangles, roots of the covariances.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    ends: np.ndarray

    @classmethod
    def fit(
        cls, points: list[tuple[np.ndarray, int]], *, most: int, lean: float, seed: int
    ) -> Self:
        """Of the points (n, d) of each group, and how many of them are draws of one cell.

        At most `most` components, and none with fewer than 30 cells on average; `lean` is how many
        cells the covariance within all groups counts for.
        """
        centred = np.concatenate([group - group.mean(axis=0) for group, _each in points])
        within = np.cov(centred.T).reshape(centred.shape[1], -1) + FLOOR * np.eye(centred.shape[1])
        rng = np.random.default_rng(seed)
        found = []
        for group, each in points:
            n = int(np.clip(len(group) / each // 30, 1, most))
            found.append(_em(group, each, n, within, lean, rng))
        parts = [np.concatenate(part) for part in zip(*found, strict=True)]
        ends = np.cumsum([len(weights) for weights, _means, _factors in found])
        return cls(parts[0], parts[1], parts[2], ends)

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A point for each cell of the group that it is of, float64 (n, d)."""
        chance = rng.random(len(groups))
        normal = rng.standard_normal((len(groups), self.means.shape[1]))
        starts = np.concatenate([[0], self.ends[:-1]])
        made = np.empty(normal.shape)
        for group in np.unique(groups):
            mine = np.flatnonzero(groups == group)
            part = slice(starts[group], self.ends[group])
            bounds = np.cumsum(self.weights[part])
            place = np.searchsorted(bounds[:-1], chance[mine], side="right")
            for k in np.unique(place):
                rows, one = mine[place == k], starts[group] + k
                made[rows] = self.means[one] + normal[rows] @ self.factors[one].T
        return made

    def log_density(self, group: int, points: np.ndarray) -> np.ndarray:
        """Of points (n, d) under the mixture of one group, float64 (n,)."""
        start = 0 if group == 0 else int(self.ends[group - 1])
        part = slice(start, int(self.ends[group]))
        return special.logsumexp(
            _densities(points, self.weights[part], self.means[part], self.factors[part]), axis=1
        )


def _densities(
    points: np.ndarray, weights: np.ndarray, means: np.ndarray, factors: np.ndarray
) -> np.ndarray:
    """Log of weight times density, (n, components)."""
    made = np.empty((len(points), len(weights)))
    for k, (mean, factor) in enumerate(zip(means, factors, strict=True)):
        white = linalg.solve_triangular(factor, (points - mean).T, lower=True)
        made[:, k] = -0.5 * (white**2).sum(axis=0) - np.log(np.diag(factor)).sum()
    with np.errstate(divide="ignore"):
        return made + np.log(weights) - 0.5 * points.shape[1] * np.log(2 * np.pi)


def _em(
    points: np.ndarray,
    each: int,
    n: int,
    within: np.ndarray,
    lean: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and factors of n components."""
    share = np.zeros((len(points), n))
    start = points[rng.choice(len(points), n, replace=False)] if n > 1 else points[:1]
    scale = linalg.inv(linalg.cholesky(within, lower=True))
    away = (((points[:, None] - start[None]) @ scale.T) ** 2).sum(axis=2)
    share[np.arange(len(points)), away.argmin(axis=1)] = 1
    before = -np.inf
    for _ in range(STEPS if n > 1 else 1):
        weights, means, factors = _components(points, share, each, within, lean)
        if n == 1:
            break
        log = _densities(points, weights, means, factors)
        total = special.logsumexp(log, axis=1)
        share = np.exp(log - total[:, None])
        if total.mean() - before < 1e-4:
            break
        before = total.mean()
    return weights, means, factors


def _components(
    points: np.ndarray, share: np.ndarray, each: int, within: np.ndarray, lean: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = share.sum(axis=0)
    weights = (size + each) / (size + each).sum()
    middle = points.mean(axis=0)
    means = (share.T @ points + each * middle) / (size + each)[:, None]
    factors = []
    for k in range(share.shape[1]):
        apart = points - means[k]
        scatter = (apart * share[:, [k]]).T @ apart
        covariance = (scatter + lean * each * within) / (size[k] + lean * each)
        factors.append(linalg.cholesky(covariance, lower=True))
    return weights, means, np.stack(factors)
