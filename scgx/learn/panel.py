"""The features that a classifier was trained on, and where another file has them.

Another study calls genes by ids or by symbols and has measured fewer of them. So features pair by
whatever name both sides know, and depth is recomputed on the genes that both sides have. Counts per
10,000 over a third of the genes would be three times too high, so the sum is brought to the share that
those genes had in training: a cell then looks to the model as it would have looked there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.cells import coordinates, normalize
from scgx.genome.identity import without_version
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.learn.convert import Conversion, Rows

LINEAR = ("counts", "binary", "scaled-counts")


class Names(NamedTuple):
    """What n features are called: the index of their table, ids, symbols; None where unknown."""

    names: np.ndarray
    ids: np.ndarray
    symbols: np.ndarray

    @classmethod
    def of(cls, var: Frame) -> Names:
        """From a table of features; Ensembl ids lose their version."""
        kinds = coordinates.gene_names(var)
        here = next(i for i, names in enumerate(kinds) if names is var.index)
        nothing = np.full(len(var), None, dtype=object)
        ids = _plain(kinds[0]) if here else nothing
        return cls(_plain(var.index), ids, kinds[here + 1] if here + 1 < len(kinds) else nothing)


@dataclass(frozen=True)
class Panel:
    """Features whose counts make up depth, and those of them that a model takes.

    chosen: int64 (k,), positions among the p features, sorted. share: float64 (p,), the mean share of
    a training cell's counts; they sum to one.
    """

    modality: str
    names: Names
    chosen: np.ndarray
    share: np.ndarray

    def __len__(self) -> int:
        return len(self.share)


def doubled(names: Names) -> list[str]:
    """Indices that more than one feature has, sorted: by these none is found in another file."""
    return sorted(name for name, n in Counter(names.names.tolist()).items() if name and n > 1)


class Found(NamedTuple):
    """Column of the file per feature of the panel (-1: it has none), and how many by equal index."""

    columns: np.ndarray
    n: int
    by_index: int


def find(panel: Panel, var: Frame, columns: np.ndarray) -> Found:
    """Which of some columns of another table is which feature of the panel.

    The same kind of name is compared first; a name that a side has twice pairs nothing.
    """
    here = Names.of(var.take(columns))
    place = np.full(len(panel), -1, np.int64)
    by_index = 0
    for mine, theirs in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2)):
        _pair(panel.names[mine], here[theirs], place)
        by_index = by_index or int((place >= 0).sum())
    found = np.where(place >= 0, columns[place], -1)
    return Found(found, int((place >= 0).sum()), by_index)


def _pair(ours: np.ndarray, theirs: np.ndarray, place: np.ndarray) -> None:
    """Fill in `place` what is free on both sides and called the same."""
    taken = set(place[place >= 0].tolist())
    mine = _once(ours, [i for i in range(len(ours)) if place[i] < 0])
    other = _once(theirs, [i for i in range(len(theirs)) if i not in taken])
    for name, i in mine.items():
        if i >= 0:
            place[i] = other.get(name, -1)


def _once(names: np.ndarray, free: list[int]) -> dict[str, int]:
    """Where each name is, -1 for one that occurs twice."""
    seen: dict[str, int] = {}
    for i in free:
        if name := names[i]:
            seen[name] = -1 if name in seen else i
    return seen


def _plain(names: np.ndarray) -> np.ndarray:
    return np.array([without_version(name) if name else None for name in names], dtype=object)


@dataclass(frozen=True)
class Lens:
    """How rows of one file become what a classifier takes."""

    conversion: Conversion
    panel: Panel
    columns: np.ndarray  # int64 (p,): of the file, -1 where it lacks the feature

    @property
    def present(self) -> np.ndarray:
        """Which of the chosen features the file has, bool (k,)."""
        return self.columns[self.panel.chosen] >= 0

    def measured_by(self, mask: np.ndarray) -> Lens:
        """The same for a dataset that measured some columns of the file, bool (n_var,)."""
        here = (self.columns >= 0) & mask[self.columns]
        return replace(self, columns=np.where(here, self.columns, -1))

    def x(self, cells: Cells, rows: np.ndarray) -> sparse.csr_array:
        """CSR float32 (len(rows), k), in the model's order of features, indices sorted."""
        return self.of(self.raw(cells, rows))

    def raw(self, cells: Cells, rows: np.ndarray) -> Rows:
        """What the file holds of the panel's features that it has, in the panel's order."""
        block = cells.rows(self.conversion.key, rows, self.columns[self.columns >= 0])
        if isinstance(block, sparse.csr_array):
            block.sort_indices()  # sums over a row then run in the panel's order, whatever the file's
        return block

    def of(self, block: Rows) -> sparse.csr_array:
        """The same of rows that `raw` gave."""
        values = self._normalised(block)
        there = np.flatnonzero(self.columns >= 0)
        target = np.full(len(self.panel), -1, np.int64)
        target[self.panel.chosen] = np.arange(len(self.panel.chosen))
        target = target[there]
        kept = np.flatnonzero(target >= 0)
        if len(kept) < len(target):
            values = values[:, kept]
        indices = target[kept][values.indices]
        shape = (values.shape[0], len(self.panel.chosen))
        x = sparse.csr_array((values.data, indices, values.indptr), shape=shape)
        x.sort_indices()
        return x

    def _normalised(self, block: Rows) -> sparse.csr_array:
        if self.panel.modality not in coordinates.GENES:
            return self.conversion.apply(block)
        if self.conversion.have not in LINEAR:
            block = normalize.linear_from_log1p(block)
        sums = normalize.row_totals(block)
        share = float(self.panel.share[self.columns >= 0].sum())
        made = normalize.log1p_cp10k(block, sums / share if share > 0 else sums)
        return sparse.csr_array(made, dtype=np.float32)
