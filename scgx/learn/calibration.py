"""From scores of classes to probabilities that mean what they say.

One number, the temperature, divides the scores before the softmax; it is fitted on validation cells,
changes no answer, and takes out the overconfidence that every model has beyond its training cells
(Guo 2017). Classes keep their order, so a wrong model stays wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize

LEAST, MOST = 0.05, 20.0  # beyond these a model is not overconfident but useless
BINS = 15


class Reliability(NamedTuple):
    """On n validation cells: accuracy, error of calibration (15 bins) and mean -log p."""

    n: int
    accuracy: float
    ece: float
    nll: float


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities float64 (n, classes) from scores (n, classes); rows are independent."""
    scaled = scores.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def temperature(scores: np.ndarray, codes: np.ndarray) -> float:
    """The T > 0 with the least -log p of the true classes `codes` (n,); 1 without cells."""
    if len(codes) == 0 or scores.shape[1] < 2:
        return 1.0

    def loss(logarithm: float) -> float:
        return reliability(softmax(scores, float(np.exp(logarithm))), codes).nll

    bounds = (float(np.log(LEAST)), float(np.log(MOST)))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def reliability(probability: np.ndarray, codes: np.ndarray) -> Reliability:
    """How far probabilities (n, classes) can be believed, given the true classes (n,)."""
    n = len(codes)
    if n == 0:
        return Reliability(0, 0.0, 0.0, 0.0)
    top = probability.max(axis=1)
    right = probability.argmax(axis=1) == codes
    bins = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.bincount(bins, weights=right - top, minlength=BINS)
    own = np.maximum(probability[np.arange(n), codes], 1e-12)
    return Reliability(
        n, float(right.mean()), float(np.abs(gap).sum() / n), float(-np.log(own).mean())
    )
