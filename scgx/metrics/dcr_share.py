"""Are made cells nearer to the cells that were learned from than to others like them?"""

import numpy as np

from scgx.metrics._sets import Design, Pair, Repeats, Result, nearest_genes


class Metric:
    """Share nearer to a training cell."""

    id = "dcr_share"
    definition = (
        "share of made cells whose nearest real cell is a training cell and not a held-out "
        "one, of as many of either and of the same classes, ties one half, in log1p-cp10k of "
        "all genes; "
        ".5 is best, 1 is copying"
    )
    direction = -1
    target = 0.5  # the best value
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        if min(len(pair.members), len(pair.real)) == 0:
            return
        member, other = (nearest_genes(pair.fake, s) for s in (pair.members, pair.real))
        share = np.mean(member < other) + 0.5 * np.mean(member == other)
        self._seen.add(float(share), len(pair.fake))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
