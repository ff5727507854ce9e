"""Many outputs from a few numbers by a smooth function of low rank.

RBF ridge on landmarks (Nystroem; Williams and Seeger 2001) answers for all outputs at once; its answers
for the training cells span few directions, and only these are kept (reduced-rank regression). So the
axes are those that can be foreseen, where principal components of the outputs themselves, of sparse
ones such as peaks, are noise. Where a cell's library is told, outputs are learned as shares of it.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import linalg, sparse

from scgx.learn.kernels import CONSTANT, rbf_between
from scgx.learn.lsi import column_mean
from scgx.learn.selection import parts

ROWS_AT_ONCE = 1_024
LEAST_MEAN = 1e-3


class Smooth(NamedTuple):
    """Width (1 / scale^2) and penalty of the RBF, directions that are kept, landmarks."""

    gamma: float
    penalty: float
    rank: int
    landmarks: int


class Traced(NamedTuple):
    """outputs = mean + scale * (components @ axes.T), components = kernel(view, landmarks) @ slope"""

    landmarks: np.ndarray  # (m, s) float32
    slope: np.ndarray  # (m, rank) float32
    mean: np.ndarray  # (n_out,) float32
    scale: np.ndarray  # (n_out,) float32: the root of the mean, or of what varies
    axes: np.ndarray  # (n_out, rank) float32, orthonormal columns
    gamma: np.ndarray  # (1,) float32

    @classmethod
    def fit(
        cls,
        view: np.ndarray,
        y: sparse.csr_array,
        how: Smooth,
        *,
        library: np.ndarray | None,
        scale: np.ndarray | None,
        seed: int,
    ) -> Self:
        """Fit outputs y (n, n_out) on view (n, s); `library` (n,) is what y is a share of.

        `scale` (n_out,) makes outputs compare; without it, the root of their mean does.
        """
        if library is not None:
            y = _shares(y, library)
        mean = column_mean(y)
        scale = np.sqrt(np.maximum(mean, LEAST_MEAN)) if scale is None else scale
        n, rng = len(view), np.random.default_rng(seed)
        marks = view[np.sort(rng.choice(n, min(how.landmarks, n), replace=False))]
        whitening = _whitening(rbf_between(marks, marks, how.gamma) + CONSTANT)
        features = np.empty((n, whitening.shape[1]), np.float32)
        for part in parts(n, ROWS_AT_ONCE):
            features[part] = (rbf_between(view[part], marks, how.gamma) + CONSTANT) @ whitening
        gram = (features.T @ features).astype(np.float64)
        weights = np.asarray(sparse.csr_array(y.T) @ features).T  # (q, n_out)
        weights -= np.outer(features.sum(axis=0), mean)
        weights /= scale
        inverse = linalg.inv(gram + how.penalty * np.eye(len(gram)))
        weights = inverse.astype(np.float32) @ weights
        root = linalg.cholesky(gram + 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram)))
        fitted = root.astype(np.float32) @ weights  # as long as the answers for all cells
        values, left = linalg.eigh((fitted @ fitted.T).astype(np.float64))
        kept = np.argsort(-values, kind="stable")[: min(how.rank, int((values > 0).sum()) or 1)]
        lengths = np.sqrt(np.maximum(values[kept], 1e-12))
        axes = (fitted.T @ left[:, kept].astype(np.float32)) / lengths.astype(np.float32)
        slope = whitening @ (weights @ axes)
        made = (marks, slope, mean, scale, axes, np.array([how.gamma]))
        return cls(*(np.ascontiguousarray(each, dtype=np.float32) for each in made))

    def __call__(self, view: np.ndarray) -> np.ndarray:
        """Components (n, rank) float64 of cells that look like view (n, s)."""
        kernel = rbf_between(view.astype(np.float64), self.landmarks, float(self.gamma[0]))
        return (kernel + CONSTANT) @ self.slope.astype(np.float64)

    def outputs(self, components: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """(n, n_out) float64 outputs, or some columns of them, from components (n, rank)."""
        axes = (self.axes[columns] * self.scale[columns, None]).astype(np.float64)
        return components @ axes.T + self.mean[columns]


def _shares(y: sparse.csr_array, library: np.ndarray) -> sparse.csr_array:
    """Rows as shares of their library, at the mean library; very small libraries count as small."""
    least = np.maximum(library, 0.2 * library.mean())
    data = y.data * np.repeat(library.mean() / least, np.diff(y.indptr))
    return sparse.csr_array((data.astype(np.float32), y.indices, y.indptr), shape=y.shape)


def _whitening(matrix: np.ndarray) -> np.ndarray:
    values, vectors = linalg.eigh(matrix.astype(np.float64))
    kept = values > 1e-6 * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
