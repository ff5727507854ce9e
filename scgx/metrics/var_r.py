"""Do genes vary as much in made cells as in real ones?"""

import numpy as np

from scgx.metrics._sets import Array, CellSet, Design, Pair, Repeats, Result, pearson


class Metric:
    """r of log variances of genes."""

    id = "var_r"
    definition = (
        "r over genes between the logarithms of variances of log1p-cp10k in real and in made "
        "cells; genes that do not vary on both sides are left out and counted"
    )
    direction = 1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        real, fake = _of(pair.real), _of(pair.fake)
        both = (real > 0) & (fake > 0)
        r = pearson(np.log(real[both]), np.log(fake[both]))
        self._seen.add(r, int(both.sum()), int((~both).sum()))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()


def _of(cells: CellSet) -> Array:
    mean = np.asarray(cells.log.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(cells.log.multiply(cells.log).mean(axis=0), dtype=np.float64).ravel()
    variance = np.maximum(square - mean**2, 0)
    return np.where(variance > 1e-5 * (1 + square), variance, 0)
