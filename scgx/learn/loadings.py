"""Few components in place of many outputs.

One cell's profile is mostly sampling noise; what chromatin can tell is in the directions that many
genes share. So models predict components of the outputs, and the loadings bring them back. Outputs
are divided by a power of their deviation first: at 0 the few most variable genes are all that is
learned, at 1 noise of rare genes is blown up; .5 is between (and is what correlation per gene likes).
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.lsi import column_deviation, column_mean, truncated_svd

LEAST_DEVIATION = 0.02


class Loadings(NamedTuple):
    """outputs = mean + scale * (components @ axes.T)"""

    mean: np.ndarray  # (n_out,) float32
    scale: np.ndarray  # (n_out,) float32
    axes: np.ndarray  # (n_out, rank) float32, orthonormal columns

    @classmethod
    def fit(cls, y: sparse.csr_array, *, rank: int, power: float, seed: int) -> Self:
        """Principal axes of training outputs y (n, n_out)."""
        mean = column_mean(y)
        scale = np.maximum(column_deviation(y), LEAST_DEVIATION) ** np.float32(power)
        svd = truncated_svd(_divided(y, scale), rank, centre=mean / scale, seed=seed)
        return cls(mean, scale, svd.axes)

    def components(self, y: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """(n, rank) float32 components of outputs y (n, n_out); what is absent stands at its mean."""
        centre = self.mean if present is None else self.mean * present
        return _divided(y, self.scale) @ self.axes - (centre / self.scale) @ self.axes

    def outputs(self, components: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """(n, n_out) float32 outputs, or some columns of them, from components (n, rank)."""
        slope = (self.axes[columns] * self.scale[columns, None]).astype(np.float64)
        return (components @ slope.T + self.mean[columns]).astype(np.float32)


def _divided(y: sparse.csr_array, scale: np.ndarray) -> sparse.csr_array:
    data = (y.data / scale[y.indices]).astype(np.float32)
    return sparse.csr_array((data, y.indices, y.indptr), shape=y.shape)
