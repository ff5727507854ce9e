"""How deeply a cell was measured, as something to learn from.

Rows of unit length hide depth; but what a cell's features say is less certain in a shallow cell, and
the depths of two modalities go together. Counted as the number of features that are there; where
the file lacks some of the features, the count is made up by the share that those have in training.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import sparse


class Depth(NamedTuple):
    """weight * (log(1 + count) - mean) / deviation"""

    share: np.ndarray  # (n_in,) share of training cells that have the feature
    standard: np.ndarray  # (3,) mean and deviation of the log count, and the weight

    @classmethod
    def fit(cls, x: sparse.csr_array, *, weight: float) -> Self:
        """Standardise by training rows x (n, n_in)."""
        log = np.log1p(np.diff(x.indptr))
        share = np.bincount(x.indices, minlength=x.shape[1]) / max(x.shape[0], 1)
        standard = [log.mean(), log.std() + 1e-6, weight]
        return cls(share.astype(np.float32), np.array(standard, np.float32))

    def __call__(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """Depth of cells x as one column: (n, 1) float32."""
        mean, deviation, weight = self.standard
        here = 1.0 if present is None else self.share[present].sum() / max(self.share.sum(), 1e-9)
        log = np.log1p(np.diff(x.indptr) / max(here, 1e-6))[:, None]
        return (weight * (log - mean) / deviation).astype(np.float32)
