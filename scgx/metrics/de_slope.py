"""Are differences between classes as large as they are? Under 1 they are washed out."""

import numpy as np

from scgx.metrics._marked import FEWEST_GENES, contrasts
from scgx.metrics._sets import Design, Pair, Repeats, Result


class Metric:
    """Slope of made on real fold changes."""

    id = "de_slope"
    definition = (
        "slope through zero of log2 fold changes (class against the rest) of made on real "
        "cells, over genes significant in real cells (Welch, 5 % false discoveries; 10 genes "
        "or more), mean over classes"
    )
    direction = 1
    target = 1.0  # the best value
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        slopes = []
        for real, fake in contrasts(pair):
            x, y = real.change[real.sure], fake.change[real.sure]
            if len(x) >= FEWEST_GENES:
                slopes.append(float(x @ y / (x @ x)))
        self._seen.add(float(np.mean(slopes)) if slopes else float("nan"), len(slopes))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
