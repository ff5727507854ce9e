"""Could somebody with made cells tell who was learned from?"""

import numpy as np

from scgx.metrics._forest import auroc
from scgx.metrics._sets import Design, Pair, Repeats, Result, nearest_genes


class Metric:
    """Membership by nearness."""

    id = "mia_auroc"
    definition = (
        "area under the curve of telling real training cells from held-out ones by their "
        "distance to the nearest made cell, in log1p-cp10k of all genes; .5 is best, 1 betrays who was "
        "learned from"
    )
    direction = -1
    target = 0.5  # the best value
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        near = [nearest_genes(s, pair.fake) for s in (pair.members, pair.real)]
        member = np.repeat([True, False], [len(pair.members), len(pair.real)])
        self._seen.add(auroc(-np.concatenate(near), member), len(member))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
