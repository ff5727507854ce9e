"""Are genes as often silent in made cells as in real ones?"""

import numpy as np

from scgx.metrics._sets import Array, CellSet, Design, Pair, Repeats, Result, pearson


class Metric:
    """r of zero fractions of genes."""

    id = "zero_r"
    definition = (
        "r over genes between the shares of cells without a count, of real and of made cells"
    )
    direction = 1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        real, fake = _of(pair.real), _of(pair.fake)
        self._seen.add(pearson(real, fake), len(real))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()


def _of(cells: CellSet) -> Array:
    stored = cells.counts.indices[cells.counts.data != 0]
    return 1 - np.bincount(stored, minlength=cells.counts.shape[1]) / max(len(cells), 1)
