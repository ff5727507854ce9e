"""Canonical correlation: what two views of the same cells have in common, and how much of it.

Both views are whitened (with shrinkage towards equal variances: small directions are noise), and the
singular vectors of what is left of their covariance are pairs of directions that correlate most
(Hotelling 1936). A direction counts by its correlation rho: variates weighed so, at unit length,
are compared by cosine. One view may hold what a model says of cells; it must then have been
said of cells that the model was not fitted on, or rho is flattered.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import linalg

MOST_RHO = 0.99


class Canonical(NamedTuple):
    """first = (a - centre_a) @ to_a, second = (b - centre_b) @ to_b: of unit variance."""

    centre_a: np.ndarray  # (p,) float32
    to_a: np.ndarray  # (p, d) float32
    centre_b: np.ndarray  # (q,) float32
    to_b: np.ndarray  # (q, d) float32
    rho: np.ndarray  # (d,) float32: correlation of first with second

    @classmethod
    def fit(cls, a: np.ndarray, b: np.ndarray, *, dimensions: int, shrinkage: float) -> Self:
        """Fit on paired rows a (n, p) and b (n, q); at most min(p, q) dimensions."""
        a, b = a.astype(np.float64), b.astype(np.float64)
        centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
        a, b = a - centre_a, b - centre_b
        white_a, white_b = _whitening(a, shrinkage), _whitening(b, shrinkage)
        left, _, right = linalg.svd(white_a.T @ (a.T @ b) @ white_b, full_matrices=False)
        kept = slice(0, max(1, min(dimensions, len(right))))
        to_a, to_b = white_a @ left[:, kept], white_b @ right[kept].T
        first, second = a @ to_a, b @ to_b  # shrunken covariances leave variances near one
        spread = [np.sqrt((view**2).mean(axis=0)) + 1e-12 for view in (first, second)]
        to_a, to_b = to_a / spread[0], to_b / spread[1]
        rho = (first * second).mean(axis=0) / (spread[0] * spread[1])
        sign = np.sign(to_b[np.abs(to_b).argmax(axis=0), np.arange(to_b.shape[1])])
        sign = np.where(sign == 0, 1, sign)
        rho = np.clip(rho, 0, MOST_RHO)
        made = (centre_a, to_a * sign, centre_b, to_b * sign, rho)
        return cls(*(np.ascontiguousarray(each, dtype=np.float32) for each in made))

    def first(self, a: np.ndarray) -> np.ndarray:
        """Variates of view a (n, p): float64 (n, d)."""
        return (a.astype(np.float64) - self.centre_a) @ self.to_a.astype(np.float64)

    def second(self, b: np.ndarray) -> np.ndarray:
        """Variates of view b (n, q): float64 (n, d)."""
        return (b.astype(np.float64) - self.centre_b) @ self.to_b.astype(np.float64)

    def place(self, first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray:
        """Unit vectors (n, d) float32 of cells by their variates of one view, or of both."""
        rho = self.rho.astype(np.float64)
        if first is not None and second is not None:
            return unit((first + second) * rho / (1 + rho))
        one = first if first is not None else second
        if one is None:
            raise ValueError("neither view is given")
        return unit(one * rho)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) brought to length 1, float32; a row of zeros stays."""
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def _whitening(x: np.ndarray, shrinkage: float) -> np.ndarray:
    """(p, p) W with W' C W = 1, C the shrunken covariance of centred rows x (n, p)."""
    p = x.shape[1]
    cov = x.T @ x / len(x)
    cov = (1 - shrinkage) * cov + (shrinkage * np.trace(cov) / p + 1e-12) * np.eye(p)
    values, vectors = linalg.eigh(cov)
    return vectors / np.sqrt(np.maximum(values, 1e-12))
