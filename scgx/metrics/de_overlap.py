"""Are the genes that change most among those that were predicted to?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import Array, Case, Design, Units, averaged

_SIZES = {"20": 20, "50": 50, "100": 100, "N": None}


class Metric:
    """Overlap of the most changed genes."""

    id = "de_overlap"
    definition = (
        "share of the k significant genes of largest fold change that are among the k of the guess "
        "(rank sum against measured controls, 5 % false discoveries; k at most the number that is "
        "significant in truth, N: that number), mean over strata and perturbations; none is 0"
    )
    direction = 1
    ideal = 1.0
    gene_sets = False
    task = "perturbation"
    variants = tuple(_SIZES)

    def __init__(self, design: Design) -> None:
        self._units = {variant: Units(design) for variant in self.variants}

    def update(self, case: Case) -> None:
        """Take in a perturbation whose cells were looked at."""
        if not case.cells:
            return
        pairs = [(one.weight, one.real.ordered(), one.guess.ordered()) for one in case.cells]
        none = all(len(real) == 0 for _, real, _ in pairs)
        for variant, most in _SIZES.items():
            shares = [(weight, _share(real, guess, most)) for weight, real, guess in pairs]
            self._units[variant].set(case.unit, averaged(shares), degenerate=none)

    def result(self, variant: str = "20") -> Result:
        """The mean over perturbations."""
        return self._units[variant].result()


def _share(real: Array, guess: Array, most: int | None) -> float:
    k = len(real) if most is None else min(most, len(real))
    return len(np.intersect1d(real[:k], guess[:k])) / k if k else 0.0
