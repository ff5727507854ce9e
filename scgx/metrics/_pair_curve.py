"""All pairs of rows and columns, ranked by weight: true pairs against the others.

Pairs that are not stored tie at the bottom; within a block of equal weights true pairs and others
arrive evenly, so that the order of equal pairs in the file is of no account.
"""

from typing import NamedTuple

import numpy as np

from scgx.metrics._matching import Array, Match


class Curve(NamedTuple):
    """By falling weight, of each block of equal pairs: true ones and others, float64."""

    true: Array
    other: Array


def curve(match: Match) -> Curve:
    """Of all pairs of judged rows with all columns."""
    rows = match.judged
    weights = match.weights[rows]
    n, m = weights.shape
    row = np.repeat(rows, np.diff(weights.indptr))
    hit = weights.indices == row
    order = np.argsort(-weights.data, kind="stable")
    values, hits = weights.data[order], hit[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)[: len(values)])
    true = np.diff(np.cumsum(hits)[ends], prepend=0).astype(np.float64)
    size = np.diff(ends + 1, prepend=0).astype(np.float64)
    left = n - float(hits.sum())
    rest = float(n) * m - len(values) - left
    return Curve(np.append(true, left), np.append(size - true, rest))
