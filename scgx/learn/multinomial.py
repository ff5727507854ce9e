"""Multinomial logistic regression on a few dense numbers per cell, with a unit ridge."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from scgx.learn.calibration import softmax

NEVER = 50.0  # the intercept of a class without cells is that much lower


def balanced(y: np.ndarray, classes: int, power: float = 1.0) -> np.ndarray:
    """Weight of each row, float64 (n,): that of its class's rarity, to a power."""
    counts = np.bincount(y, minlength=classes)
    share = len(y) / ((counts > 0).sum() * np.maximum(counts, 1))
    return (share**power)[y]


def regress(x: np.ndarray, y: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
    """Coefficients (columns + 1, classes), the intercepts last, of dense x (n, columns).

    A class without rows gets an intercept that makes it impossible.
    """
    known = np.bincount(y, minlength=classes) > 0
    truth = np.zeros((len(y), classes))
    truth[np.arange(len(y)), y] = 1
    shape = (x.shape[1] + 1, classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(shape)
        scores = x @ theta[:-1] + theta[-1] + np.where(known, 0, -NEVER)
        p = softmax(scores)
        own = np.maximum(p[np.arange(len(y)), y], 1e-300)
        total = -(weight * np.log(own)).sum() + 0.5 * (theta[:-1] ** 2).sum()
        slope = (p - truth) * weight[:, None]
        steep = np.concatenate([x.T @ slope + theta[:-1], slope.sum(axis=0, keepdims=True)])
        return total / len(y), steep.ravel() / len(y)

    options = {"maxiter": 300, "gtol": 1e-5}
    start = np.zeros(shape).ravel()
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    taught = found.x.reshape(shape).copy()
    taught[-1, ~known] -= NEVER
    return taught
