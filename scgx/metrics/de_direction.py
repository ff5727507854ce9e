"""Do the genes that change go the way that was predicted?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import Case, Design, Units, averaged


class Metric:
    """Agreement in sign."""

    id = "de_direction"
    definition = (
        "share of the genes significant in truth (rank sum against measured controls, 5 % false "
        "discoveries) whose fold change has the predicted sign, a guess without change counting "
        "half; mean over strata and perturbations; without such a gene 0"
    )
    direction = 1
    ideal = 1.0
    gene_sets = False
    task = "perturbation"

    def __init__(self, design: Design) -> None:
        self._units = Units(design)

    def update(self, case: Case) -> None:
        """Take in a perturbation whose cells were looked at."""
        if not case.cells:
            return
        shares = []
        for one in case.cells:
            where = one.real.sure
            same = np.sign(one.real.change[where]) * np.sign(one.guess.change[where])
            shares.append((one.weight, float(np.mean((same + 1) / 2)) if len(same) else 0.0))
        none = not any(one.real.sure.any() for one in case.cells)
        self._units.set(case.unit, averaged(shares), degenerate=none)

    def result(self) -> Result:
        """The mean over perturbations."""
        return self._units.result()
