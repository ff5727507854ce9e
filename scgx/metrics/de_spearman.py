"""Are differences between classes in the same genes, in the same order?"""

import numpy as np
from scipy import stats

from scgx.metrics._marked import FEWEST_GENES, contrasts
from scgx.metrics._sets import Design, Pair, Repeats, Result, pearson


class Metric:
    """Rank correlation of fold changes."""

    id = "de_spearman"
    definition = (
        "rank correlation of log2 fold changes (class against the rest) of made and real "
        "cells over genes significant in real cells, mean over classes"
    )
    direction = 1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        found = []
        for real, fake in contrasts(pair):
            if real.sure.sum() >= FEWEST_GENES:
                x, y = (stats.rankdata(side.change[real.sure]) for side in (real, fake))
                found.append(pearson(x, y))
        self._seen.add(float(np.mean(found)) if found else float("nan"), len(found))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
