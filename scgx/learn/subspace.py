"""The leading eigenvectors of a matrix that is too large to hold, from its products with a few vectors.

Every product is one pass over the cells. All blocks of vectors that came about on the way span the
space that is searched (block Lanczos; Musco and Musco 2015), so a few passes are as good as many of
plain power iteration.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PASSES = 5
MORE = 14  # vectors beyond those that are wanted


class Axes(NamedTuple):
    """Eigenvalues (rank,) float64, the largest first, and vectors (n, rank) float64 as columns."""

    values: np.ndarray
    vectors: np.ndarray


def leading(times: Callable[[np.ndarray], np.ndarray], size: int, rank: int, *, seed: int) -> Axes:
    """Of a symmetric positive matrix (size, size); `times` multiplies it by (size, width) float64."""
    rank = min(rank, size)
    width = min(rank + MORE, size)
    block = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, width)))[0]
    basis = np.empty((size, min(PASSES * width, size)))
    small = np.zeros((0, 0))
    while True:
        old, used = len(small), len(small) + block.shape[1]
        basis[:, old:used] = block
        found = times(block)
        side = basis[:, :used].T @ found  # the last columns of basis.T @ matrix @ basis, symmetric
        small = np.block([[small, side[:old]], [side[:old].T, side[old:]]])
        if used == basis.shape[1]:
            break
        found -= basis[:, :used] @ side
        block = np.linalg.qr(found[:, : basis.shape[1] - used])[0]
        for _ in range(2):  # what rounding and a rank that is used up leave of earlier blocks
            block = np.linalg.qr(block - basis[:, :used] @ (basis[:, :used].T @ block))[0]
    values, turn = np.linalg.eigh((small + small.T) / 2)
    order = np.argsort(-values, kind="stable")[:rank]
    return Axes(np.maximum(values[order], 0), signed(basis @ turn[:, order]))


def signed(vectors: np.ndarray) -> np.ndarray:
    """The largest entry of each column is positive, so that axes of two fits compare."""
    if not vectors.size:
        return vectors
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors * np.where(sign == 0, 1, sign)
