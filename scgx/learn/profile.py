"""The mean profile of some cells, missing targets left out or down-weighted as `--na` says."""

import numpy as np

from scgx.learn.data import TrainingData
from scgx.learn.lsi import column_mean
from scgx.learn.selection import parts

ROWS_AT_ONCE = 4_096


def mean_profile(data: TrainingData, rows: np.ndarray) -> np.ndarray:
    """Mean of each output over `rows` (n_out,), float32; 0 where all of them are missing."""
    total, weight = 0.0, 0.0
    for part in parts(len(rows), ROWS_AT_ONCE):
        known = data.weight(rows[part])
        if known is None:
            return column_mean(data.y(rows))
        total = total + data.y(rows[part]).multiply(known).sum(axis=0, dtype=np.float64)
        weight = weight + known.sum(axis=0, dtype=np.float64)
    return (total / np.maximum(weight, 1e-6)).astype(np.float32)
