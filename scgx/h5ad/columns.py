"""Some columns of a CSR matrix on disk, nearly as fast as its bytes come from the disk cache.

Every entry is looked at, so what counts is what is done per entry. Slabs that stay in a core's cache
are read past HDF5 into memory that is used again (fresh pages cost more than the read), by threads:
numpy lets go of the interpreter in each of the calls here. Where the columns are one or two runs, as
the genes of a chromosome are in genome order, comparing is several times cheaper than a table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import scipy

from scgx.h5ad.blocks import Rows
from scgx.h5ad.matrix import Matrix, check_indices, cut
from scgx.h5ad.slabs import Slabs
from scgx.h5ad.threads import side_by_side
from scgx.h5ad.totals import Totals

_SLAB = 1 << 19
_FEW = 2  # comparisons that cost less than a table does


def csr_columns(
    matrix: Matrix, columns: np.ndarray, totals: Totals | None = None
) -> Iterator[Rows]:
    """The rows of a CSR matrix, in order, with only these columns (no repeats), in their order.

    `totals` are filled from all columns on the way.
    """
    picker = _Picker(matrix, columns, totals)
    yield from side_by_side(picker.rows, cut(matrix.indptr, _SLAB))


class _Picker:
    def __init__(self, matrix: Matrix, columns: np.ndarray, totals: Totals | None) -> None:
        self.matrix, self.totals = matrix, totals
        self.width, self.n = len(columns), matrix.shape[1]
        self.renamed = np.zeros(self.n, dtype=np.int32)
        self.renamed[columns] = np.arange(self.width, dtype=np.int32)
        self.wanted = np.zeros(self.n, dtype=bool)
        self.wanted[columns] = True
        self.everything = self.width == self.n
        self.ordered = bool((np.diff(columns) > 0).all())
        edges = np.flatnonzero(np.diff(self.wanted, prepend=False, append=False))
        self.runs = edges.reshape(-1, 2).tolist()
        self.own = threading.local()

    def rows(self, part: tuple[int, int]) -> Rows:
        """Rows start..stop; what is given back is nobody else's memory."""
        start, stop = part
        lo, hi = int(self.matrix.indptr[start]), int(self.matrix.indptr[stop])
        indptr = self.matrix.indptr[start : stop + 1] - lo
        indices = self._read("indices", self.matrix.indices, lo, hi)
        check_indices(indices, self.n, self.matrix)
        kept = None if self.everything else np.flatnonzero(self._mask(indices))
        if self.totals is None and kept is not None and not len(kept):
            data = np.empty(0, self.matrix.dtype)
        else:
            data = self._read("data", self.matrix.data, lo, hi)
        if self.totals is not None:
            self.totals.add(start, data, indices, indptr)
        if kept is None:
            data = data.copy()
        else:
            data, indices = data.take(kept), indices.take(kept)
            indptr = np.searchsorted(kept, indptr)
        indices = self.renamed.take(indices)
        if not self.ordered:
            block = scipy.sparse.csr_array((data, indices, indptr), (stop - start, self.width))
            block.sort_indices()
            data, indices = block.data, block.indices
        return Rows(data, indices, np.diff(indptr))

    def _mask(self, indices: np.ndarray) -> np.ndarray:
        """Which entries are wanted; all indices are within bounds."""
        if len(self.runs) > _FEW:
            return self.wanted.take(indices)
        mask = np.zeros(len(indices), dtype=bool) if len(self.runs) != 1 else None
        for first, last in self.runs:
            inside = indices >= first if first else indices < last
            if first and last < self.n:
                inside &= indices < last
            mask = inside if mask is None else np.logical_or(mask, inside, out=mask)
        assert mask is not None
        return mask

    def _read(self, name: str, values: Slabs, lo: int, hi: int) -> np.ndarray:
        """Values lo..hi in memory that this thread uses again for its next slab."""
        space = getattr(self.own, name, None)
        if space is None or len(space) < hi - lo:
            space = np.empty(max(hi - lo, _SLAB), dtype=values.dtype)
            setattr(self.own, name, space)
        return values.read(lo, hi, space[: hi - lo])
