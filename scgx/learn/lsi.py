"""Latent semantic indexing: a cell's open peaks, or its genes, in a few numbers.

Chromatin is presence and absence, and a peak that is open in every cell says little; so peaks are
weighted by inverse document frequency (TF-IDF, as in Cusanovich 2018) and every cell becomes a row
of unit length, which takes its depth out. A row of unit length is also the honest answer to missing
peaks: what was measured is renormalised, and nothing pretends that absence is zero. Log-valued
modalities (RNA, gene activity, protein) are centred instead, which is PCA.

Weights, means and axes come from the rows given to `fit`: give training rows. The truncated SVD is
randomised (Halko 2011) with its own generator: the same seed gives the same bytes. Nothing is
densified: centring is done inside the products.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import sparse


class Svd(NamedTuple):
    """The leading singular triples: left (n, rank), values (rank,), axes (n_features, rank)."""

    left: np.ndarray
    values: np.ndarray
    axes: np.ndarray


class Lsi(NamedTuple):
    """A fitted projection: features to `rank` components."""

    weight: np.ndarray  # (n_features,) float32: inverse document frequency; ones for log values
    centre: np.ndarray  # (n_features,) float32: zeros where rows have unit length
    axes: np.ndarray  # (n_features, rank) float32
    unit: np.ndarray  # (1,) uint8: rows are brought to unit length

    @classmethod
    def fit(cls, x: sparse.csr_array, *, modality: str, rank: int, seed: int) -> Self:
        """Fit on training rows x (n, n_features), in the canonical units of their modality."""
        is_peaks = modality == "atac"
        weight = inverse_frequency(x) if is_peaks else np.ones(x.shape[1], np.float32)
        rows = unit_rows(x, weight) if is_peaks else x
        centre = np.zeros(x.shape[1], np.float32) if is_peaks else column_mean(x)
        svd = truncated_svd(rows, rank, centre=centre, seed=seed)
        return cls(weight, centre, svd.axes, np.array([is_peaks], np.uint8))

    def transform(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """Components (n, rank) float32 of rows x; absent features count as never seen.

        Summed in float64 and rounded once, so that a cell's place in a block, or a column's in the
        file, does not show in the last bit.
        """
        axes = self.axes.astype(np.float64)
        if self.unit[0]:
            return (unit_rows(x, self.weight) @ axes).astype(np.float32)
        centre = self.centre if present is None else self.centre * present
        return (x @ axes - centre @ axes).astype(np.float32)


def column_mean(x: sparse.csr_array) -> np.ndarray:
    """The mean of each column (n_features,), float32, summed in float64."""
    total = np.bincount(x.indices, weights=x.data, minlength=x.shape[1])
    return (total / max(x.shape[0], 1)).astype(np.float32)


def column_deviation(x: sparse.csr_array) -> np.ndarray:
    """The standard deviation of each column (n_features,), float32, implicit zeros included."""
    n = max(x.shape[0], 1)
    data = x.data.astype(np.float64)
    total = np.bincount(x.indices, weights=data, minlength=x.shape[1])
    square = np.bincount(x.indices, weights=data**2, minlength=x.shape[1])
    return np.sqrt(np.maximum(square / n - (total / n) ** 2, 0)).astype(np.float32)


def inverse_frequency(x: sparse.csr_array, *, power: float = 1.0) -> np.ndarray:
    """log(1 + n / df) to a power, per column, float32; a column that is never open weighs nothing."""
    df = np.bincount(x.indices[x.data != 0], minlength=x.shape[1])
    idf = np.log1p(x.shape[0] / np.maximum(df, 1)) ** power
    return np.where(df > 0, idf, 0).astype(np.float32)


def unit_rows(x: sparse.csr_array, weight: np.ndarray) -> sparse.csr_array:
    """Columns weighted, rows brought to Euclidean length 1 (empty rows stay empty)."""
    data = (x.data * weight[x.indices]).astype(np.float32)
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    square = np.bincount(rows, weights=data.astype(np.float64) ** 2, minlength=x.shape[0])
    length = np.sqrt(np.where(square > 0, square, 1)).astype(np.float32)
    return sparse.csr_array((data / length[rows], x.indices, x.indptr), shape=x.shape)


def truncated_svd(
    x: sparse.csr_array,
    rank: int,
    *,
    centre: np.ndarray,
    seed: int,
    iterations: int = 5,
    group: np.ndarray | None = None,
) -> Svd:
    """The `rank` leading singular triples of x - centre, at most min(shape) of them, float32.

    `centre` is (columns,); with `group` int64 (rows,) it is (groups, columns), one for each group.

    The sign is fixed (the largest entry of an axis is positive), so that components of two fits
    compare.
    """
    rank = max(1, min(rank, *x.shape))
    width = min(2 * rank + 10, *x.shape)  # generous: the last components matter too
    forward = x.astype(np.float32, copy=False)
    backward = sparse.csr_array(forward.T)
    centre = centre.astype(np.float32)

    centre = np.atleast_2d(centre)
    group = np.zeros(x.shape[0], np.int64) if group is None else group
    ones = np.ones(len(group), np.float32)
    member = sparse.csr_array(
        (ones, (group, np.arange(len(group)))), shape=(len(centre), len(group))
    )

    def times(v: np.ndarray) -> np.ndarray:
        return forward @ v - (centre @ v)[group]

    def transposed_times(u: np.ndarray) -> np.ndarray:
        return backward @ u - centre.T @ (member @ u)

    start = np.random.default_rng(seed).standard_normal((x.shape[1], width), dtype=np.float32)
    basis = np.linalg.qr(times(start))[0]
    for _ in range(iterations):
        basis = np.linalg.qr(times(np.linalg.qr(transposed_times(basis))[0]))[0]
    small, values, right = np.linalg.svd(transposed_times(basis), full_matrices=False)
    axes, left = small[:, :rank], basis @ right.T[:, :rank]
    sign = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    sign = np.where(sign == 0, 1, sign).astype(np.float32)
    return Svd(
        (left * sign).astype(np.float32),
        values[:rank].astype(np.float32),
        np.ascontiguousarray(axes * sign, dtype=np.float32),
    )
