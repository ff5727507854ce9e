"""Is each class's own probability to be believed? The top class alone does not say."""

import numpy as np

from scgx.metrics._calls import Calls, Design, mean_of, over_classes
from scgx.metrics._panel import Result

BINS = 15


class Metric:
    """Classwise calibration error."""

    id = "ece_classwise"
    definition = (
        "mean over classes of the error of p_c against [class is c], in 15 bins (lo, hi] of p_c"
    )
    direction = -1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._weights = design.weights
        shape = (design.n_parts, design.n_classes)
        self._gap = np.zeros((*shape, BINS))
        self._seen = np.zeros(shape)  # true cells and probability: 0 for a class on neither side
        self._n = np.zeros(design.n_parts)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        if calls.probability is None:
            return
        parts, classes, _ = self._gap.shape
        truth = calls.truth[:, None] == np.arange(classes)
        bins = np.clip(np.ceil(calls.probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
        place = calls.parts[:, None] * classes + np.arange(classes)
        gap = truth - calls.probability
        flat = (place * BINS + bins).ravel()
        self._gap += np.bincount(flat, gap.ravel(), self._gap.size).reshape(self._gap.shape)
        seen = np.bincount(place.ravel(), (truth + calls.probability).ravel(), parts * classes)
        self._seen += seen.reshape(parts, classes)
        self._n += np.bincount(calls.parts, minlength=parts)

    def result(self) -> Result:
        """The mean over classes that are true or have any probability."""
        if not self._n.sum():
            return Result(None, np.zeros(0), 0, note="no probabilities")
        ones = np.ones((1, len(self._n)))
        own = self._errors(ones)[0]
        return over_classes(mean_of(own), mean_of(self._errors(self._weights)), own)

    def _errors(self, weights: np.ndarray) -> np.ndarray:
        """Error of each class (draws, classes); NaN for a class on neither side."""
        gap = np.abs(np.tensordot(weights, self._gap, 1)).sum(axis=-1)
        n = np.maximum(weights @ self._n, 1)[:, None]
        return np.where(weights @ self._seen > 0, gap / n, np.nan)
