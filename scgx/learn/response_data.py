"""Cells of a screen for a model of responses: perturbed cells, and the controls they are compared with.

Means of every perturbation within every stratum are summed in one pass over rows; a model that learns
from cells compares perturbed cells with controls of their own stratum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import xxhash
from scipy import sparse

from scgx.cells.perturbations import Perturbation, Screen
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features
from scgx.h5ad.frame import Frame
from scgx.learn.convert import totals_of
from scgx.learn.data import Side
from scgx.learn.strata import Strata

ROWS = 2_048  # that are read at a time, at most
SUMMED = 256  # that are summed at a time: the same sums whatever the memory
READING = 50  # bytes of memory that a stored value takes while it is read


class Means(NamedTuple):
    """One row per perturbation and stratum that has cells: (groups,) codes, number, mean, variance.

    `mean` is float64 (groups, genes), `variance` float32; perturbation 0 is the control.
    """

    condition: np.ndarray
    stratum: np.ndarray
    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Told:
    """Who is perturbed how, and which cells compare: of every row of the file."""

    screen: Screen
    strata: Strata
    groups: np.ndarray  # int64 (n,): the stratum, -1 unknown

    @property
    def conditions(self) -> tuple[Perturbation, ...]:
        """The perturbations of the file, the control first."""
        return self.screen.conditions


class ResponseData:
    """Training and validation rows of a screen; values in log1p-cp10k."""

    def __init__(
        self, cells: Cells, side: Side, told: Told, parts: tuple[np.ndarray, np.ndarray]
    ) -> None:
        self._cells, self.side, self.told = cells, side, told
        self.train, self.val = parts
        self.memory = cells.memory

    @property
    def features(self) -> Features:
        """The genes in the order of the columns of x."""
        return self.side.features

    @property
    def obs(self) -> Frame:
        """All rows of obs."""
        return self._cells.obs

    @cached_property
    def symbols(self) -> list[str]:
        """A name of each gene as targets are named: its symbol where the file has one."""
        names = self.side.features.names.tolist()
        for column in ("gene_name", "feature_name", "gene_symbol", "gene_symbols"):
            if column in self._cells.var:
                words = self._cells.var.take(self.side.columns).strings(column)
                return [word or name for word, name in zip(words, names)]
        return names

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        """Values of these rows, CSR float32 (len(rows), genes)."""
        return self._held[rows] if self._held is not None else self._read(rows)

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_array]]:
        """`SUMMED` of these rows after another: places among `rows`, and values (CSR float32).

        As many are read at once as half of the memory holds.
        """
        matrix = self._cells.matrix(self.side.conversion.key)
        each = READING * max(matrix.nnz / max(self._cells.n_obs, 1), 1)
        step = SUMMED * min(max(int(self.memory / 2 / each) // SUMMED, 1), ROWS // SUMMED)
        for start in range(0, len(rows), step):
            block = self.x(rows[start : start + step])
            for at in range(0, block.shape[0], SUMMED):
                some = block[at : at + SUMMED]
                yield np.arange(start + at, start + at + some.shape[0]), some

    @cached_property
    def trained(self) -> Means:
        """The means of the training rows, summed once."""
        return self.means(self.train)

    def means(self, rows: np.ndarray) -> Means:
        """Means and variances of every perturbation within every stratum, over some rows."""
        width = len(self.told.strata.levels)
        usable = rows[(self.told.screen.codes[rows] >= 0) & (self.told.groups[rows] >= 0)]
        keys = self.told.screen.codes[usable] * width + self.told.groups[usable]
        known, place = np.unique(keys, return_inverse=True)
        genes = len(self.features)
        total, squares = np.zeros((len(known), genes)), np.zeros((len(known), genes))
        for some, block in self.blocks(usable):
            here, own = np.unique(place[some], return_inverse=True)
            member = sparse.csr_array(
                (np.ones(len(own)), (own, np.arange(len(own)))), shape=(len(here), len(own))
            )
            values = block.astype(np.float64)
            total[here] += (member @ values).toarray()
            squares[here] += (member @ values.multiply(values)).toarray()
        n = np.bincount(place, minlength=len(known))
        total /= np.maximum(n, 1)[:, None]
        for row, mean, many in zip(squares, total, n):
            row[:] = np.maximum(row - many * mean**2, 0) / max(many - 1, 1)
        return Means(known // width, known % width, n, total, squares.astype(np.float32))

    def controls(self, stratum: int, rows: np.ndarray | None = None) -> np.ndarray:
        """Training rows (or some of `rows`) that are controls of a stratum."""
        rows = self.train if rows is None else rows
        return rows[self.told.screen.control[rows] & (self.told.groups[rows] == stratum)]

    def fingerprint(self) -> str:
        """A name for exactly this data: file, genes, perturbations and parts."""
        digest = xxhash.xxh3_128(self._cells.fingerprint.encode())
        digest.update(self.side.columns.tobytes() + self.side.conversion.words.encode())
        for part in (self.told.screen.codes, self.told.groups, self.train, self.val):
            digest.update(part.tobytes() + b"|")
        return digest.hexdigest()

    @cached_property
    def _held(self) -> sparse.csr_array | None:
        """All rows of the file in memory when they fit in a third of the budget."""
        if 20 * self._cells.matrix(self.side.conversion.key).nnz > self.memory // 3:
            return None
        n = self._cells.n_obs
        blocks = [self._read(np.arange(i, min(i + ROWS, n))) for i in range(0, n, ROWS)]
        return sparse.csr_array(sparse.vstack(blocks, format="csr"))

    def _read(self, rows: np.ndarray) -> sparse.csr_array:
        conversion = self.side.conversion
        depth = totals_of(self._cells, self.features.modality) if conversion.uses_totals else None
        block = self._cells.rows(conversion.key, rows, self.side.columns)
        return conversion.apply(block, None if depth is None else depth[rows])
