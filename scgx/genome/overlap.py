"""Which of many intervals overlap which of many others; the one home of pyranges.

pyranges (nested containment lists) is the fastest at this; its import costs 0.4 s, so only what
joins peaks with genes imports this file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from pyranges import PyRanges


class Intervals(NamedTuple):
    """n intervals, 0-based half-open; a chromosome of None or a start of -1 overlaps nothing."""

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def widened(self, window: int) -> Intervals:
        """Every placed interval with `window` bases more on either side, not below 0."""
        start = np.where(self.start >= 0, np.maximum(self.start - window, 0), -1)
        return Intervals(self.chrom, start, np.where(self.start >= 0, self.end + window, -1))


class Pairs(NamedTuple):
    """m overlaps: row of the left and of the right interval (int64), sorted by both."""

    left: np.ndarray
    right: np.ndarray


def overlaps(left: Intervals, right: Intervals, *, window: int = 0) -> Pairs:
    """Every pair of intervals that overlap, or lie less than `window` bases apart."""
    a, b = _ranges(left.widened(window)), _ranges(right)
    if a is None or b is None:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    joined = a.join(b, suffix="_right").df
    if joined.empty:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    rows = joined["Row"].to_numpy(np.int64), joined["Row_right"].to_numpy(np.int64)
    order = np.lexsort((rows[1], rows[0]))
    return Pairs(rows[0][order], rows[1][order])


def _ranges(intervals: Intervals) -> PyRanges | None:
    placed = np.flatnonzero(intervals.start >= 0)
    placed = placed[[intervals.chrom[i] is not None for i in placed]] if len(placed) else placed
    if not len(placed):
        return None
    table = {
        "Chromosome": intervals.chrom[placed].astype(str),
        "Start": intervals.start[placed],
        "End": np.maximum(intervals.end[placed], intervals.start[placed] + 1),
        "Row": placed,
    }
    return PyRanges(pd.DataFrame(table))
