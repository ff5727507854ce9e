"""How far off a predicted profile is, over the genes that are expressed at all."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import INDEPENDENT, SHARED, Case, Design, Units


class Metric:
    """Euclidean distance of profiles over 1,000 genes."""

    id = "l2_top1000"
    definition = (
        "Euclidean distance of the true and the predicted mean profile over the 1,000 genes most "
        "expressed in training controls, a prediction starting from the controls that the truth is "
        "held against, mean over perturbations"
    )
    direction = -1
    ideal = 0.0
    gene_sets = False
    task = "perturbation"
    variants = (INDEPENDENT, SHARED)

    def __init__(self, design: Design) -> None:
        self._design = design
        self._units = {variant: Units(design) for variant in self.variants}

    def update(self, case: Case) -> None:
        """Take in a perturbation."""
        design, i = self._design, case.unit
        kept = design.expressed[design.others(i)[design.expressed]]
        gaps = {INDEPENDENT: design.truth[i] - case.change, SHARED: design.shared[i] - case.shared}
        for variant, gap in gaps.items():
            self._units[variant].set(i, float(np.linalg.norm(gap[kept])))

    def result(self, variant: str = INDEPENDENT) -> Result:
        """The mean over perturbations."""
        return self._units[variant].result()
