"""A random forest between two sets of cells: the one home of scikit-learn among the metrics."""

import os
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from scgx.metrics._ranks import midranks

Array = np.ndarray

TREES, FOLDS = 50, 5


def told_apart(x: Array, made: Array, same: Sequence[bytes], *, seed: int) -> float:
    """AUROC of out-of-fold votes for `made` (n,) being 1; NaN under ten cells on a side.

    Cells with the same counts (`same`, n hashes) share a fold: a copy must not be known by its twin.
    """
    if np.bincount(made, minlength=2).min() < 10:
        return float("nan")
    folds = _folds(made, same, seed)
    votes = np.zeros(len(made))
    for fold in range(FOLDS):
        out = folds == fold
        forest = RandomForestClassifier(TREES, random_state=seed, n_jobs=_jobs())
        forest.fit(x[~out], made[~out])
        votes[out] = forest.predict_proba(x[out])[:, 1]
    return auroc(votes, made == 1)


def _jobs() -> int:
    """As many threads as --threads said, else all; the forest is the same."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else -1


def auroc(score: Array, positive: Array) -> float:
    """The share of pairs in which the positive has the higher score, ties one half."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = midranks(np.asarray(score, dtype=np.float64)[:, None])[:, 0]
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def _folds(made: Array, same: Sequence[bytes], seed: int) -> Array:
    """A fold for each cell, balanced on either side; equal cells together."""
    _, first, group = np.unique(np.array(same, dtype="S16"), return_index=True, return_inverse=True)
    fold = np.empty(len(first), dtype=np.int64)
    for side in (0, 1):
        mine = np.flatnonzero(made[first] == side)
        shuffled = np.random.default_rng([seed, side]).permutation(len(mine))
        fold[mine[shuffled]] = np.arange(len(mine)) % FOLDS
    return fold[group]
