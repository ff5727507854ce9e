"""Squared error of the change: easily read, and small for whoever predicts no change."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units


class Metric:
    """Mean squared error over genes."""

    id = "mse_delta"
    definition = (
        "mean over genes of (true - guessed change)^2 against independent controls, which is that of "
        "the profiles if both start from one control; mean over perturbations"
    )
    direction = -1
    ideal = 0.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._design = design
        self._units = Units(design)

    def update(self, case: Case) -> None:
        """Take in a perturbation."""
        kept = self._design.others(case.unit)
        gap = (self._design.truth[case.unit] - case.change)[kept]
        self._units.set(case.unit, float(np.mean(gap**2)) if len(gap) else float("nan"))

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
