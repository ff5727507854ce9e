"""Is a predicted profile nearer to its own truth than to those of other perturbations?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units


class Metric:
    """Share of other truths that are farther away."""

    id = "centroid_accuracy"
    definition = (
        "share of the other scored perturbations whose true change is strictly farther (Euclidean, "
        "targets of the perturbation left out) from the guessed one than the true one is"
    )
    direction = 1
    ideal = 1.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._design = design
        self._units = Units(design)

    def update(self, case: Case) -> None:
        """Take in a perturbation."""
        design = self._design
        if len(design) < 2:
            return
        kept = design.others(case.unit)
        gap = design.truth - case.change
        gap[:, ~kept] = 0
        far = np.einsum("ij,ij->i", gap, gap)
        share = np.count_nonzero(far > far[case.unit]) / (len(design) - 1)
        self._units.set(case.unit, share)

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
