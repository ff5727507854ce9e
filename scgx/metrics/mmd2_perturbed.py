"""How far predicted cells are from those that were measured, to a kernel at several scales."""

from scgx.metrics._apart import mmd2
from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units, averaged


class Metric:
    """Squared maximum mean discrepancy of predicted cells."""

    id = "mmd2_perturbed"
    definition = (
        "unbiased squared maximum mean discrepancy of perturbed and predicted cells in up to 50 "
        "components of training cells, summed over Gaussian kernels of 1/4, 1/2, 1, 2 and 4 times "
        "their median distance, mean over strata and perturbations"
    )
    direction = -1
    ideal = 0.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._design = design
        self._units = Units(design)

    def update(self, case: Case) -> None:
        """Take in a perturbation whose cells were looked at."""
        scale = self._design.scale
        apart = [(one.weight, mmd2(one.real_points, one.guess_points, scale)) for one in case.cells]
        if apart:
            self._units.set(case.unit, averaged(apart))

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
