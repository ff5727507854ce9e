"""What is special about a perturbation: changes beyond those that all perturbations have in common."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units, correlation


class Metric:
    """r of true and guessed change beyond the mean perturbation."""

    id = "pearson_delta_pertmean"
    definition = (
        "r over genes of the true and the guessed profile less the mean of the training "
        "perturbations, each of them counting alike, mean over perturbations; no control stands in "
        "the truth, and a guess that is that mean has 0"
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
        design, i = self._design, case.unit
        kept = np.flatnonzero(design.others(i))
        mean = design.mean[i]
        r, flat = correlation((design.shared[i] - mean)[kept], (case.shared - mean)[kept])
        self._units.set(i, r, degenerate=flat)

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
