"""Does 80 % sure mean right four times in five? The gap, over 15 bins of confidence."""

import numpy as np

from scgx.metrics._calls import Calls, Design
from scgx.metrics._panel import Result

BINS = 15


class Metric:
    """Expected calibration error."""

    id = "ece"
    definition = "15 bins (lo, hi] of the top probability: sum of n_b/n |accuracy_b - confidence_b|"
    direction = -1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._weights = design.weights
        self._gap = np.zeros((design.n_parts, BINS))
        self._n = np.zeros(design.n_parts)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        if calls.confidence is None:
            return
        bins = np.clip(np.ceil(calls.confidence * BINS).astype(int) - 1, 0, BINS - 1)
        gap = (calls.truth == calls.best) - calls.confidence
        flat = calls.parts * BINS + bins
        self._gap += np.bincount(flat, gap, self._gap.size).reshape(self._gap.shape)
        self._n += np.bincount(calls.parts, minlength=len(self._n))

    def result(self) -> Result:
        """The error over all cells; empty bins are skipped."""
        n = int(self._n.sum())
        if n == 0:
            return Result(None, np.zeros(0), 0, note="no probabilities")
        drawn = np.abs(self._weights @ self._gap).sum(axis=1)
        draws = drawn / np.maximum(self._weights @ self._n, 1)
        return Result(float(np.abs(self._gap.sum(axis=0)).sum() / n), draws, n)
