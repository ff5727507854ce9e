"""Which rows judge a setting, and how: what a model is tuned by, never what it is scored by.

Validation rows judge where the split has some. Where it has none, training rows are held out by
group (batch, donor), because cells of one batch share what a model must not learn; where there is
one group alone, by cell.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from scipy import sparse

MOST_JUDGES = 5_000  # rows; more of them do not change a choice
COLUMNS_AT_ONCE = 2_048


class Parted(Protocol):
    """Data in two parts; `groups` per row of the file, where the split has them."""

    train: np.ndarray
    val: np.ndarray
    groups: np.ndarray | None


class Judges(NamedTuple):
    """Rows to fit on and rows to judge on, both sorted."""

    fit: np.ndarray
    judge: np.ndarray


def fold_of(groups: np.ndarray | None, n: int, *, seed: int, most: int = 10) -> np.ndarray:
    """A fold number (n,) per row: whole groups together, or cells where there are under 3 groups.

    Groups are dealt from the largest to the smallest into the emptiest fold, at most `most` folds.
    """
    if groups is not None:
        names, codes, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
        if len(names) >= 3:
            filled = np.zeros(min(most, len(names)), np.int64)
            fold = np.zeros(len(names), np.int64)
            for group in np.argsort(-sizes, kind="stable"):
                fold[group] = filled.argmin()
                filled[fold[group]] += sizes[group]
            return fold[codes]
    return np.random.default_rng(seed).permutation(n) % min(most, max(n, 1))


def judges(data: Parted, *, seed: int) -> Judges:
    """Training and validation rows; without validation, a fifth of the training rows, by group."""
    train, val = np.asarray(data.train), np.asarray(data.val)
    if len(val) == 0:
        groups = None if data.groups is None else data.groups[train]
        held = fold_of(groups, len(train), seed=seed, most=5) == 0
        train, val = train[~held], train[held]
    if len(val) > MOST_JUDGES:
        val = np.sort(np.random.default_rng(seed).choice(val, MOST_JUDGES, replace=False))
    return Judges(train, val)


def correlation(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Pearson r per column of two dense (n, m) arrays; 0 where either does not vary."""
    truth = truth.astype(np.float64) - truth.mean(axis=0, dtype=np.float64)
    guess = guess.astype(np.float64) - guess.mean(axis=0, dtype=np.float64)
    variance = (truth**2).sum(axis=0) * (guess**2).sum(axis=0)
    flat = variance <= 1e-12
    return np.where(flat, 0, (truth * guess).sum(axis=0) / np.sqrt(np.where(flat, 1, variance)))


def mean_correlation(truth: sparse.csr_array, guess: Callable[[slice], np.ndarray]) -> float:
    """Mean Pearson r per column; `guess` answers for a slice of columns, so nothing grows wide."""
    columns = sparse.csc_array(truth)
    total = 0.0
    for part in parts(truth.shape[1], COLUMNS_AT_ONCE):
        total += float(correlation(columns[:, part].toarray(), guess(part)).sum())
    return total / max(truth.shape[1], 1)


def mean_squared_error(truth: sparse.csr_array, guess: Callable[[slice], np.ndarray]) -> float:
    """Mean squared error over all values; `guess` as in `mean_correlation`."""
    columns = sparse.csc_array(truth)
    total = 0.0
    for part in parts(truth.shape[1], COLUMNS_AT_ONCE):
        error = columns[:, part].toarray() - guess(part)
        total += float(np.square(error, dtype=np.float64).sum())
    return total / max(columns.shape[0] * columns.shape[1], 1)


def parts(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0..n in order."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
