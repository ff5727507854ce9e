"""Cells of a file as a task of synthetic cells takes them: some of each class, chosen by name and seed.

The order of cells and of genes in a file changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.cells import normalize
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.names import hash_names
from scgx.metrics._sets import CellSet, digests

Array = np.ndarray

_PER_VALUE = 48  # bytes that a stored count takes: counts, their logarithms, copies of some


class Source(NamedTuple):
    """Where counts are: a file, a matrix of it, its columns in the order of the shared genes."""

    cells: Cells
    key: str
    columns: Array

    def read(self, rows: Array) -> sparse.csr_array:
        """Counts of rows in the order given, float32 (rows, genes); DataError for what are none."""
        ordered = np.unique(rows)
        parts = [
            sparse.csr_array(block.X)
            for block in self.cells.blocks(self.key, rows=ordered, columns=self.columns)
        ]
        width = len(self.columns)
        found = sparse.csr_array((0, width), dtype=np.float32)
        if parts:
            found = sparse.csr_array(sparse.vstack(parts, format="csr"), dtype=np.float32)
        if normalize.not_finite(found) or not normalize.are_counts(found):
            raise DataError(
                f"{self.key} holds values that are no counts",
                fix="scgx normalize --method counts restores them where it can",
                file=self.cells.name,
            )
        found.eliminate_zeros()
        found.sort_indices()
        return found[np.searchsorted(ordered, rows)]

    def known(self, rows: Array) -> frozenset[bytes]:
        """Hashes of the counts of all these rows (sorted), a block in memory at a time."""
        made: set[bytes] = set()
        for block in self.cells.blocks(self.key, rows=rows, columns=self.columns):
            made.update(digests(sparse.csr_array(block.X)))
        return frozenset(made)


def some_of(names: Array, codes: Array, most: int, *, seed: int) -> Array:
    """Positions of at most `most` of each class (n,) of codes; -1 is none. Sorted by class and name."""
    if not len(codes):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((hash_names(names), codes))
    order = order[codes[order] >= 0]
    chosen = []
    for code in np.unique(codes[order]):
        mine = order[codes[order] == code]
        if len(mine) > most:
            drawn = np.random.default_rng([seed, int(code)]).permutation(len(mine))[:most]
            mine = mine[np.sort(drawn)]
        chosen.append(mine)
    return np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)


def cell_set(counts: sparse.csr_array, codes: Array) -> CellSet:
    """Cells with their logarithms; depth is the sum over the shared genes."""
    return CellSet(counts, sparse.csr_array(normalize.log1p_cp10k(counts)), codes)


def check_room(sources: Sequence[tuple[Source, int]], memory: int) -> None:
    """DataError where so many cells of each file do not fit."""
    need = 0.0
    for source, n in sources:
        stored = source.cells.matrix(source.key).nnz / max(source.cells.n_obs, 1)
        need += _PER_VALUE * n * stored * min(1.0, 2 * len(source.columns) / source.cells.n_var)
    if need > memory:
        raise DataError(
            f"so many cells need {need / 1e9:.1f} GB", fix="lower --sample, or raise --memory"
        )


def matched(sizes: Array, *sides: CellSet, most: int) -> Array:
    """Cells per class that every side has (classes,), scaled down to `most` in all."""
    for side in sides:
        sizes = np.minimum(sizes, np.bincount(side.codes, minlength=len(sizes)))
    if sizes.sum() > most:
        sizes = np.maximum(np.minimum(sizes, 1), sizes * most // sizes.sum())
    return sizes


def draw(side: CellSet, sizes: Array, rng: np.random.Generator) -> CellSet:
    """So many of each class (classes,) at random, or all there are."""
    rows = []
    for code, size in enumerate(sizes):
        mine = np.flatnonzero(side.codes == code)
        rows.append(np.sort(rng.permutation(mine)[:size]))
    return side.take(np.concatenate(rows))


def placed(parts: Sequence[sparse.csr_array], where: Array, width: int) -> sparse.csr_array:
    """Blocks of counts on top of each other, float32, column i of them at `where[i]` of `width`."""
    whole = sparse.csr_array(sparse.vstack(parts, format="csr"))
    indices = where[whole.indices]
    data = whole.data.astype(np.float32)
    found = sparse.csr_array((data, indices, whole.indptr), shape=(whole.shape[0], width))
    found.eliminate_zeros()
    found.sort_indices()
    return found
