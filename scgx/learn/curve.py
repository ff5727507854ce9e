"""The second stage: RBF kernel ridge on what a first stage foresees.

Learns which combinations of foreseen components occur, and shrinks where they say little. Its width
and penalty are chosen by the correlation of held-out outputs, on few landmarks; then it is fitted on
all rows.
"""

from itertools import product
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.kernels import Budget, fit_dual, rbf, rbf_between
from scgx.learn.loadings import Loadings
from scgx.learn.selection import MOST_JUDGES, mean_correlation

GAMMAS = (0.35, 0.7)
PENALTIES = (1.0, 3.0, 10.0)
LANDMARKS_TO_CHOOSE = 1_000


class Shrinkage(NamedTuple):
    """Width (1 / scale^2) and penalty of the RBF; 0 means to choose."""

    gamma: float
    penalty: float


class Curve(NamedTuple):
    """components = sum of weights * exp(-gamma |seen - centre|^2) + bias"""

    centres: np.ndarray  # (m, s) float32
    weights: np.ndarray  # (m, k) float32
    bias: np.ndarray  # (k,) float32
    chosen: np.ndarray  # (2,) float32: gamma and penalty

    @classmethod
    def fit(
        cls,
        seen: np.ndarray,
        y: sparse.csr_array,
        loadings: Loadings,
        folds: np.ndarray,
        wanted: Shrinkage,
        budget: Budget,
    ) -> tuple[Self, np.ndarray]:
        """Fit components of outputs y (n, n_out) on `seen` (n, s), which was itself held out.

        Also what it says of each fold (n, k) when fitted on the others.
        """
        gamma, penalty = _choose(seen, y, loadings, folds, wanted, budget)
        z = loadings.components(y)
        dual = fit_dual(rbf(seen, gamma), z, folds, penalty=penalty, budget=budget)
        chosen = np.array([gamma, penalty], np.float32)
        return cls(seen[dual.rows], dual.weights, dual.bias, chosen), dual.held_out

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """Components (n, k) float64 of cells that look like seen (n, s)."""
        kernel = rbf_between(seen.astype(np.float64), self.centres, float(self.chosen[0]))
        return kernel @ self.weights + self.bias


def evened(components: np.ndarray) -> np.ndarray:
    """Scales (k,) float32 that even components out a little and give them a total variance of 1."""
    spread = components.std(axis=0) + np.float32(1e-6)
    scale = spread**-0.25
    return scale / np.sqrt(((spread * scale) ** 2).sum())


def _choose(
    seen: np.ndarray,
    y: sparse.csr_array,
    loadings: Loadings,
    folds: np.ndarray,
    wanted: Shrinkage,
    budget: Budget,
) -> Shrinkage:
    gammas = (wanted.gamma,) if wanted.gamma else GAMMAS
    penalties = (wanted.penalty,) if wanted.penalty else PENALTIES
    settings = [Shrinkage(*pair) for pair in product(gammas, penalties)]
    if len(settings) == 1:
        return settings[0]
    z = loadings.components(y)
    some = np.arange(0, len(z), -(-len(z) // MOST_JUDGES))
    truth = y[some]
    small = budget._replace(landmarks=LANDMARKS_TO_CHOOSE, exact=LANDMARKS_TO_CHOOSE)

    def score(setting: Shrinkage) -> float:
        kernel = rbf(seen, setting.gamma)
        dual = fit_dual(kernel, z, folds, penalty=setting.penalty, budget=small)
        guess = dual.held_out[some]
        return mean_correlation(truth, lambda part: loadings.outputs(guess, part))

    return max(settings, key=score)
