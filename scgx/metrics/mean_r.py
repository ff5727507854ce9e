"""Are genes as high in made cells as in real ones?"""

import numpy as np

from scgx.metrics._sets import Array, CellSet, Design, Pair, Repeats, Result, pearson


class Metric:
    """r of means of genes."""

    id = "mean_r"
    definition = "r over genes between mean log1p-cp10k of real and of made cells"
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
    return np.asarray(cells.log.mean(axis=0), dtype=np.float64).ravel()
