"""Synthetic cells that cost nothing, drawn from training cells: what every generator is beside.

`resample` draws training cells again: as real as can be, and nothing but copies. `nb` draws each
gene of each class on its own from a negative binomial with the mean and the variance seen: no gene
goes with any other, and no cell is deeper than others but by chance.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse

from scgx.metrics._sets import CellSet
from scgx.tasks._sampled import cell_set

Array = np.ndarray


def resample(train: CellSet, sizes: Array, *, seed: int) -> CellSet:
    """So many cells of each class (classes,), drawn with replacement."""
    rng = np.random.default_rng([seed, 1])
    rows = []
    for code, size in enumerate(sizes):
        mine = np.flatnonzero(train.codes == code)
        if len(mine):
            rows.append(rng.choice(mine, size))
    chosen = np.concatenate(rows)
    return cell_set(train.counts[chosen], train.codes[chosen])


def independent(train: CellSet, sizes: Array, *, seed: int) -> CellSet:
    """So many cells of each class (classes,), gene by gene; Poisson where a gene varies no more."""
    rng = np.random.default_rng([seed, 2])
    parts, codes = [], []
    for code, size in enumerate(sizes):
        mine = train.counts[np.flatnonzero(train.codes == code)]
        if not mine.shape[0]:
            continue
        mean = np.asarray(mine.mean(axis=0), dtype=np.float64).ravel()
        square = np.asarray(mine.multiply(mine).mean(axis=0), dtype=np.float64).ravel()
        n = mine.shape[0]
        variance = (square - mean**2) * n / max(n - 1, 1)
        more = variance > mean * (1 + 1e-6)
        shape = np.where(more, mean**2 / np.where(more, variance - mean, 1), 1)
        for start in range(0, size, 256):
            rows = min(256, size - start)
            rate = np.tile(mean, (rows, 1))
            rate[:, more] = rng.gamma(shape[more], (mean / shape)[more], (rows, int(more.sum())))
            parts.append(sparse.csr_array(rng.poisson(rate).astype(np.float32)))
        codes.append(np.full(size, code))
    return cell_set(sparse.csr_array(sparse.vstack(parts, format="csr")), np.concatenate(codes))


DRAWN: Mapping[str, Callable[..., CellSet]] = {"resample": resample, "nb": independent}
