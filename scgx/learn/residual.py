"""What a network is asked for: how far a cell is from the mean cell, on a scale where outputs compare.

A network that predicts deviations cannot win by predicting the mean. The scale is that of `Loadings`.
Missing targets (see `TrainingData.weight`) count as the mean of those that are there in what is fitted
before the network, and as their weight in its loss.
"""

import numpy as np
from scipy import sparse

from scgx.learn.data import TrainingData
from scgx.learn.loadings import Loadings


def training_targets(data: TrainingData) -> sparse.csr_array:
    """Targets of the training rows, CSR float32; the less one weighs, the nearer it is to the mean."""
    return targets(data, data.train)


def targets(data: TrainingData, rows: np.ndarray) -> sparse.csr_array:
    """The same of any rows; the mean is theirs."""
    y, weight = data.y(rows), data.weight(rows)
    if weight is None:
        return y
    known = y.toarray() * weight
    mean = known.sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-6)
    return sparse.csr_array(known + (1 - weight) * mean, dtype=np.float32)


def deviations(y: sparse.csr_array, loadings: Loadings) -> np.ndarray:
    """Scaled distance from the mean profile of targets y: float32 (n, n_out), dense."""
    return ((y.toarray() - loadings.mean) / loadings.scale).astype(np.float32)


def values(deviation: np.ndarray, loadings: Loadings) -> np.ndarray:
    """Targets from scaled distances, float32 (n, n_out)."""
    return deviation * loadings.scale + loadings.mean
