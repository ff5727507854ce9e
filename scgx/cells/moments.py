"""Means and variances of features over some cells, batch by batch, from one pass over the counts.

Counts are whole numbers, so their sums are exact in float64 and no order of cells, block size or
storage changes a bit. Where several datasets were stacked, a feature is averaged over the cells that
measured it, and what another dataset happens to store there is not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.cells.counted import Counted
from scgx.errors import DataError
from scgx.h5ad import sum_kernels
from scgx.h5ad.cells import Cells
from scgx.h5ad.entries import count_entries
from scgx.h5ad.measured import measured_of
from scgx.h5ad.sum_kernels import Sums, Where
from scgx.h5ad.threads import ahead
from scgx.progress import bar

Array: TypeAlias = np.ndarray


@dataclass(frozen=True)
class Panel:
    """Cells and features that are looked at: m features, B batches, D datasets."""

    source: Counted
    batch: Array  # int64 (n_obs,): the batch of a cell, -1 where it is left out
    batches: tuple[str, ...]
    dataset: Array  # int64 (n_obs,)
    mask: Array  # bool (m, D): did the dataset measure the feature?

    @cached_property
    def sizes(self) -> Array:
        """Cells by batch and dataset, int64 (B, D)."""
        used = self.batch >= 0
        shape = len(self.batches), self.mask.shape[1]
        flat = self.batch[used] * shape[1] + self.dataset[used]
        return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)

    @cached_property
    def cells(self) -> Array:
        """How many cells of each batch measured each feature, int64 (B, m)."""
        return self.sizes @ self.mask.T.astype(np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """(batches, features)."""
        return len(self.batches), len(self.mask)


class Values(NamedTuple):
    """Some counts: the cell, its batch, the feature's place in the panel, and the value."""

    cell: Array
    batch: Array
    feature: Array
    value: Array


def panel(cells: Cells, source: Counted, rows: Array, batch: str | None) -> Panel:
    """The features of `source` in the cells `rows`; batches are the levels of a column of obs.

    DataError where a cell has no batch or a batch is one cell.
    """
    codes = np.full(cells.n_obs, -1, dtype=np.int64)
    names: tuple[str, ...] = ("",)
    codes[rows] = 0
    if batch is not None:
        words = cells.obs.strings(batch)[rows]
        if missing := sum(not (word or "").strip() for word in words):
            what = f"{missing:,} cells have no {batch}"
            raise DataError(what, fix=f"scgx qc --drop-unlabelled --label {batch}", file=cells.name)
        found, codes[rows] = np.unique(words.astype(str), return_inverse=True)
        names = tuple(found.tolist())
    for name, size in zip(names, np.bincount(codes[rows], minlength=len(names)), strict=True):
        if size < 2:
            of = f"{batch} {name!r} has" if batch else "has"
            what = f"{of} too few cells to learn from ({size})"
            raise DataError(what, fix="two at least", file=cells.name)
    return view_of(cells, source, codes, names)


def view_of(cells: Cells, source: Counted, codes: Array, names: tuple[str, ...]) -> Panel:
    """A panel of the features of `source`; `codes` (n_obs,) says of which batch a cell is, -1 none."""
    known = measured_of(cells)
    if known is None:
        everything = np.ones((len(source.columns), 1), dtype=bool)
        return Panel(source, codes, names, np.zeros(cells.n_obs, np.int64), everything)
    return Panel(source, codes, names, known.codes, known.mask[source.columns])


def values(cells: Cells, view: Panel, memory: int) -> Iterator[Values]:
    """The counts of a panel, in the order in which they are stored."""
    feature_of = _features(cells, view)
    nnz = cells.matrix(view.source.key).nnz
    with bar("reading counts", nnz) as advance:
        for part in count_entries(cells, view.source.key, memory=memory):
            batch, feature = view.batch[part.rows], feature_of[part.columns]
            kept = (batch >= 0) & (feature >= 0)
            if not view.mask.all():
                kept &= view.mask[feature, view.dataset[part.rows]]
            yield Values(part.rows[kept], batch[kept], feature[kept], part.values[kept])
            advance(len(part.rows))


def add_up(
    cells: Cells,
    view: Panel,
    memory: int,
    *,
    limit: Array | None = None,
    marked: Array | None = None,
) -> Sums:
    """Sums over one pass; counts above `limit` (B, m) are counted alone, `marked` is bool (m,)."""
    if marked is None:
        marked = np.zeros(view.shape[1], dtype=bool)
    where = Where(view.batch, _features(cells, view), view.dataset, view.mask, marked)
    found = Sums.none(view.shape, cells.n_obs, np.inf if limit is None else limit)
    everything = int(view.mask.all())
    with bar("reading counts", cells.matrix(view.source.key).nnz) as advance:
        for part in ahead(count_entries(cells, view.source.key, memory=memory)):
            sum_kernels.add_up(part.rows, part.columns, part.values, where, everything, found)
            advance(len(part.rows))
    return found


def _features(cells: Cells, view: Panel) -> Array:
    """The feature of the panel that each column of its matrix is, int64, -1 for none."""
    place = np.full(cells.n_var + 1, -1, dtype=np.int64)  # the last is for columns of raw alone
    place[view.source.columns] = np.arange(len(view.source.columns))
    return place[view.source.place]


def add_at(into: Array, index: Array, weights: Array | None = None) -> None:
    """Add weights (or ones) where the index says; costs no more than the stretch that is touched."""
    if len(index):
        low = int(index.min())
        part = np.bincount(index - low, weights=weights)
        into[low : low + len(part)] += part


def mean_and_variance(sums: Array, squares: Array, n: Array) -> tuple[Array, Array]:
    """Means and unbiased variances over `n` cells; NaN of what fewer than two cells measured."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / n
        variance = (squares / n - mean**2) * (n / (n - 1))
    few = n < 2
    return np.where(few, np.nan, mean), np.where(few, np.nan, np.maximum(variance, 0.0))
