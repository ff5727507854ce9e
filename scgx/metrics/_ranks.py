"""Mid-ranks of columns, quickly where most values are zero."""

import numpy as np
from scipy.stats import rankdata


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 down each column of (n, c); ties share the mean of their ranks.

    Expression is mostly zero and never below it. Such a column needs only its positive values
    sorted: the zeros share one rank.
    """
    n, width = values.shape
    positive = values > 0
    if n == 0 or np.count_nonzero(positive) > values.size // 3 or (values < 0).any():
        return rankdata(values, axis=0)
    column, row = np.nonzero(positive.T)
    stored = values[row, column]
    order = np.lexsort((stored, column))
    column, row, stored = column[order], row[order], stored[order]
    counts = np.bincount(column, minlength=width)
    zeros = n - counts
    ranks = np.tile((zeros + 1) / 2, (n, 1))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.arange(len(stored)) - starts[column] + zeros[column] + 1
    ranks[row, column] = _shared(place, column, stored)
    return ranks


def _shared(place: np.ndarray, column: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The mean place of each run of equal values of one column (sorted by column, then value)."""
    if len(place) == 0:
        return place.astype(np.float64)
    fresh = np.concatenate([[True], (np.diff(column) != 0) | (np.diff(stored) != 0)])
    run = np.cumsum(fresh) - 1
    total = np.bincount(run, weights=place)
    return (total / np.bincount(run))[run]
