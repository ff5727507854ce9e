"""Chosen cells and features of a file as dense panels, in one unit, under a budget.

Cells stand in the order of their names, and features too, so that no answer depends on the order
of a file. What fits an eighth of the budget is read once and kept; the rest is read once per panel.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import sparse

from scgx.cluster.work import sharing
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.measured import Measured

Array = np.ndarray
Convert = Callable[[sparse.csr_array | Array, Array], sparse.csr_array | Array]


class Rows(Protocol):
    """Something that answers for the scored cells: a file, a profile, a fitted baseline."""

    def panel(self, columns: slice) -> Array:
        """All scored cells x some scored features, dense."""


def as_they_are(block: sparse.csr_array | Array, totals: Array) -> sparse.csr_array | Array:
    """No conversion."""
    return block


def dense(values: sparse.sparray | Array) -> Array:
    """As an array of numpy."""
    return values if isinstance(values, np.ndarray) else values.toarray()


@dataclass
class FileRows:
    """Rows `rows` and columns `columns` of a matrix; row -1 is absent and takes `missing`, and so does
    what the dataset of a cell did not measure.

    `convert(block, totals)` sees whole rows of `columns` and their totals, which are (n,) or empty.
    """

    cells: Cells
    key: str
    rows: Array
    columns: Array
    convert: Convert = as_they_are
    totals: Array = field(default_factory=lambda: np.zeros(0))
    missing: Array | None = None
    budget: int = 1 << 30
    measured: Measured | None = None
    _kept: Array | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": None, "budget": self.budget // sharing()}

    def panel(self, columns: slice) -> Array:
        """Dense (n, c), float32."""
        size = len(self.rows) * len(self.columns) * 4
        if self._kept is None and size <= self.budget // 8:
            self._kept = self._read(slice(0, len(self.columns)))
        if self._kept is not None:
            return self._kept[:, columns]
        return self._read(columns)

    def check_finite(self) -> None:
        """Refuse NaN and infinite values, with their number."""
        bad = 0
        rows = np.unique(self.rows[self.rows >= 0])
        for block in self.cells.blocks(self.key, rows=rows, columns=self.columns):
            values = block.X if isinstance(block.X, np.ndarray) else np.asarray(block.X.data)
            bad += int(values.size - np.count_nonzero(np.isfinite(values)))
        if bad:
            raise DataError(
                f"{bad:,} predicted values are NaN or infinite",
                fix="predict again, or leave those cells out: they count as not covered",
                file=self.cells.name,
            )

    def known_in(self) -> Callable[[slice], Array] | None:
        """What of some columns was measured, bool (n, c), as a function; None where all was."""
        measured = self.measured
        if measured is None:
            return None
        return lambda columns: measured.of(self.rows, self.columns[columns])

    def clear(
        self, block: sparse.csr_array | Array, rows: Array, columns: Array
    ) -> sparse.csr_array | Array:
        """A block of the file without what was not measured."""
        return block if self.measured is None else self.measured.clear(block, rows, columns)

    def _read(self, columns: slice) -> Array:
        wanted, place = np.unique(self.rows, return_inverse=True)
        absent = int(len(wanted) > 0 and wanted[0] < 0)
        chosen = self.columns[columns]
        out = np.zeros((len(wanted), len(chosen)), dtype=np.float32)
        if absent and self.missing is not None:
            out[0] = self.missing[columns]
        totals = _first(self.totals, place, len(wanted))
        blocks = self.cells.blocks(
            self.key, memory=self.budget // 8, rows=wanted[absent:], columns=chosen
        )
        for block in blocks:
            start = block.start + absent
            stop = start + block.X.shape[0]
            here = wanted[start:stop]
            made = dense(self.convert(self.clear(block.X, here, chosen), totals[start:stop]))
            if self.measured is not None and self.missing is not None:
                made = np.where(self.measured.of(here, chosen), made, self.missing[columns])
            out[start:stop] = made
        bad = int(out.size - np.count_nonzero(np.isfinite(out)))
        if bad:
            raise DataError(
                f"{bad:,} values of {self.key} are NaN or infinite",
                fix="remove those cells or features",
                file=self.cells.name,
            )
        return out[place]


def _first(values: Array, place: Array, n: int) -> Array:
    """One value for each distinct row."""
    out = np.zeros(n)
    if len(values):
        out[place] = values
    return out


@dataclass(frozen=True)
class Profiles:
    """The same profile for all cells of a group: the mean, the group mean, zeros."""

    profiles: Array
    codes: Array

    def panel(self, columns: slice) -> Array:
        """Dense (n, c)."""
        return self.profiles[:, columns][self.codes]


@dataclass(frozen=True)
class Held:
    """A matrix in memory, dense or CSC, whose rows and columns are the scored ones."""

    values: Array | sparse.csc_array

    def panel(self, columns: slice) -> Array:
        """Dense (n, c)."""
        return dense(self.values[:, columns])


@dataclass(frozen=True)
class Some:
    """Some of the scored cells, for a table per level."""

    whole: Rows
    chosen: Array

    def panel(self, columns: slice) -> Array:
        """Dense (chosen, c)."""
        return self.whole.panel(columns)[self.chosen]
