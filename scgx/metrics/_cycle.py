"""How much of the variance of some cells goes with scores of the cell cycle."""

from typing import NamedTuple

import numpy as np

from scgx.metrics._places import Array

COMPONENTS = 50


class Principal(NamedTuple):
    """Principal components (n, c) of some cells, and the variance of each (c,)."""

    scores: Array
    variance: Array


def principal(x: Array) -> Principal:
    """Up to 50 components of x (n, d)."""
    centred = x - x.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    keep = slice(0, min(COMPONENTS, len(x) - 1))
    scores = (left * size)[:, keep]
    return Principal(scores, (scores**2).sum(axis=0) / max(len(x) - 1, 1))


def explained_by(found: Principal, covariates: Array) -> float | None:
    """Sum over components of share of variance times R2 on covariates (n, k); None without variance."""
    total = found.variance.sum()
    if total <= 1e-12:
        return None
    design = np.column_stack([np.ones(len(covariates)), covariates])
    fit = design @ np.linalg.lstsq(design, found.scores, rcond=None)[0]
    left = ((found.scores - fit) ** 2).sum(axis=0)
    whole = ((found.scores - found.scores.mean(axis=0)) ** 2).sum(axis=0)
    r2 = np.where(whole > 0, 1 - left / np.where(whole > 0, whole, 1), 0)
    return float((np.maximum(r2, 0) * found.variance).sum() / total)
