"""How far predicted cells are from measured ones: their spread counts, and not the mean alone."""

from scgx.metrics._apart import energy
from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units, averaged


class Metric:
    """Energy distance of predicted cells."""

    id = "energy_perturbed"
    definition = (
        "2 E|x-y| - E|x-x'| - E|y-y'| between perturbed and predicted cells, Euclidean, unbiased, "
        "in up to 50 components of training cells, mean over strata and perturbations"
    )
    direction = -1
    ideal = 0.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._units = Units(design)

    def update(self, case: Case) -> None:
        """Take in a perturbation whose cells were looked at."""
        apart = [(one.weight, energy(one.real_points, one.guess_points)) for one in case.cells]
        if apart:
            self._units.set(case.unit, averaged(apart))

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
