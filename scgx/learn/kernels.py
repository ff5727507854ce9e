"""Kernel ridge with exact held-out predictions, in bounded memory.

A second model that learns from a first one's predictions must see predictions for cells that the
first one was not fitted on. For ridge these need no second fit: with A = (K + penalty I)^-1 and
a = A y, the predictions for a group of rows by the model fitted without that group are
y_g - A_gg^-1 a_g, exactly (the block form of leave-one-out; Rasmussen and Williams 2006, 5.4.2).
One inverse gives the model and all its held-out predictions.

Up to 20,000 rows, and where memory allows, the whole kernel is held (4 n^2 bytes and a little).
Above, the function is carried by landmarks, rows drawn from the training rows (Nystroem; Williams
and Seeger 2001): 4 n m bytes for m landmarks, and a few times m^2.

A constant is added to every kernel, which fits an intercept that is hardly shrunk.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.linalg import lapack

from scgx.errors import DataError
from scgx.learn.selection import parts

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows, rows) -> dense (n, m) float32

MOST_EXACT = 20_000  # rows; the inverse takes n^3 operations
MOST_LANDMARKS = 4_000
FEWEST_LANDMARKS = 500
ROWS_AT_ONCE = 1_024
BYTES_PER_PAIR = 40  # of landmarks: kernel, eigenvectors, two sums of products and their factor
CONSTANT = np.float32(1.0)


class Budget(NamedTuple):
    """What a fit may use."""

    memory: int  # bytes
    seed: int  # draws landmarks
    landmarks: int = MOST_LANDMARKS  # at most, where landmarks are used
    exact: int = MOST_EXACT  # rows up to which the whole kernel is held


class Dual(NamedTuple):
    """A fitted function, sum of kernel(x, rows) @ weights + bias, and what it says held out."""

    rows: np.ndarray  # (m,) the training rows that carry it: all of them, or landmarks
    weights: np.ndarray  # (m, k) float32
    bias: np.ndarray  # (k,) float32
    held_out: np.ndarray  # (n, k) float32: each fold by the model fitted on the others


def linear(x: sparse.csr_array) -> Kernel:
    """Inner products between rows of x."""

    def kernel(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        return (x[some] @ sparse.csr_array(x[others].T)).toarray()

    return kernel


def rbf(x: np.ndarray, gamma: float) -> Kernel:
    """exp(-gamma |a - b|^2) between rows of x."""
    return lambda some, others: rbf_between(x[some], x[others], gamma)


def rbf_between(some: np.ndarray, others: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a - b|^2) for all pairs of rows: (n, m), in the precision of `some`."""
    square = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    square -= 2 * (some @ others.T)
    np.maximum(square, 0, out=square)
    square *= -gamma
    return np.exp(square, out=square)


def landmarks_for(n: int, budget: Budget) -> int:
    """How many rows carry the function: n where the whole kernel fits, else fewer.

    Raises DataError where memory does not even hold `FEWEST_LANDMARKS`.
    """
    if n <= budget.exact and 5 * n**2 <= budget.memory:
        return n
    a, b = BYTES_PER_PAIR, 4 * n  # a m^2 + b m bytes: products of landmarks, and their features
    room = int(((b**2 + 4 * a * budget.memory) ** 0.5 - b) / (2 * a))
    fewest = min(n, budget.landmarks, FEWEST_LANDMARKS)
    if room < fewest:
        need = a * fewest**2 + b * fewest
        raise DataError(
            f"kernel ridge on {n:,} cells needs {(need >> 20) + 1} MiB",
            fix="a larger --memory, or the model ridge",
        )
    return min(n, budget.landmarks, room)


def fit_dual(
    kernel: Kernel, y: np.ndarray, folds: np.ndarray, *, penalty: float, budget: Budget
) -> Dual:
    """Kernel ridge of y (n, k) with each fold of folds (n,) held out in turn as well."""
    n = len(y)
    landmarks = landmarks_for(n, budget)
    mean = y.mean(axis=0, dtype=np.float64).astype(np.float32)
    if landmarks == n:
        rows = np.arange(n)
        weights, held_out = _exact(kernel, y - mean, folds, penalty)
    else:
        rows = np.sort(np.random.default_rng(budget.seed).choice(n, landmarks, replace=False))
        weights, held_out = _by_landmarks(kernel, y - mean, folds, penalty, rows)
    return Dual(rows, weights, mean + CONSTANT * weights.sum(axis=0), held_out + mean)


def _exact(
    kernel: Kernel, y: np.ndarray, folds: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    n = len(y)
    rows = np.arange(n)
    matrix = np.empty((n, n), np.float32, order="F")
    for part in parts(n, ROWS_AT_ONCE):
        matrix[:, part] = kernel(rows[part], rows).T + CONSTANT
    matrix[rows, rows] += np.float32(penalty)
    inverse = _inverted(matrix)
    weights = inverse @ y
    held_out = np.empty_like(y)
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        block = inverse[np.ix_(own, own)]
        held_out[own] = y[own] - linalg.solve(block, weights[own], assume_a="pos")
    return weights, held_out


def _inverted(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite float32 matrix in Fortran order, in its own memory."""
    factor, failed = lapack.spotrf(matrix, lower=1, overwrite_a=1, clean=0)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise DataError("the kernel is singular", fix="a larger penalty")
    for part in parts(len(inverse), ROWS_AT_ONCE):
        inverse[part, part.stop :] = inverse[part.stop :, part].T
        square = np.tril(inverse[part, part])
        inverse[part, part] = square + np.tril(square, -1).T
    return inverse


def _by_landmarks(
    kernel: Kernel, y: np.ndarray, folds: np.ndarray, penalty: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge on the features whose inner products are the Nystroem kernel; also without each fold."""
    to_features = _whitening(kernel(rows, rows) + CONSTANT)
    features = np.empty((len(y), to_features.shape[1]), np.float32)
    for part in parts(len(y), ROWS_AT_ONCE):
        some = np.arange(part.start, part.stop)
        features[part] = (kernel(some, rows) + CONSTANT) @ to_features
    gram, moment = _moments(features, y)
    gram[np.diag_indices_from(gram)] += penalty
    held_out = np.empty_like(y)
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        own_gram, own_moment = _moments(features[own], y[own])
        np.subtract(gram, own_gram, out=own_gram)
        without = linalg.solve(own_gram, moment - own_moment, assume_a="pos", overwrite_a=True)
        held_out[own] = features[own] @ without.astype(np.float32)
    slope = linalg.solve(gram, moment, assume_a="pos", overwrite_a=True)
    return (to_features @ slope.astype(np.float32)), held_out


def _whitening(matrix: np.ndarray) -> np.ndarray:
    """(m, r) W with W W' = matrix^-1 on the r directions that float32 can tell from zero."""
    values, vectors = linalg.eigh(matrix.astype(np.float64), overwrite_a=True)
    kept = values > 1e-6 * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)


def _moments(features: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of products of features with themselves and with y, float64."""
    gram = np.zeros((features.shape[1], features.shape[1]))
    moment = np.zeros((features.shape[1], y.shape[1]))
    for part in parts(len(y), ROWS_AT_ONCE):
        gram += features[part].T @ features[part]
        moment += features[part].T @ y[part]
    return gram, moment
