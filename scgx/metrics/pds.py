"""Is a predicted change nearest to that of its own perturbation, and not to another's?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import FLAT, Array, Case, Design, Units


class Metric:
    """Discrimination score."""

    id = "pds"
    definition = (
        "1 - k/(n-1), k = how many true changes of the other scored perturbations are nearer to the "
        "guessed change than the true one is (cosine, ties half, targets of all scored perturbations "
        "removed); no information is 0.5"
    )
    direction = 1
    ideal = 1.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._units = Units(design)
        self._genes = np.flatnonzero(~design.panel)
        self._truth = _unit(design.truth[:, self._genes].astype(np.float64))

    def update(self, case: Case) -> None:
        """Take in a perturbation."""
        n = len(self._truth)
        if n < 2 or len(self._genes) < 3:
            return
        guess = _unit(case.change[None, self._genes].astype(np.float64))
        near = (self._truth @ guess.T)[:, 0]
        own = near[case.unit]
        k = np.count_nonzero(near > own) + (np.count_nonzero(near == own) - 1) / 2
        self._units.set(case.unit, 1 - k / (n - 1), degenerate=not guess.any())

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()


def _unit(rows: Array) -> Array:
    """Rows of length one; one without length stays zero, at distance 1 from all."""
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = np.abs(rows).max(axis=1, initial=0.0, keepdims=True) <= FLAT
    return np.where(flat, 0.0, rows / np.where(size > 0, size, 1))
