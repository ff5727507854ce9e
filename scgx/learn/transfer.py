"""Cells of a file for `generate --cells`: counts in the model's features, and what cells are now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.learn.artifact import Artifact
from scgx.learn.convert import Conversion, choose
from scgx.learn.wanted import conditions_of
from scgx.progress import say

DEEPEST = 10_000_000  # counts of a cell


@dataclass(frozen=True)
class Given:
    """Cells that are to be as they would be under other conditions."""

    cells: Cells
    rows: np.ndarray  # int64, of the file
    codes: np.ndarray  # (n, columns): the conditions that they have
    columns: np.ndarray  # int64, of each feature of the model; -1 where the file lacks it
    conversion: Conversion

    @property
    def names(self) -> np.ndarray:
        """What the cells are called."""
        return self.cells.obs_names[self.rows]

    def counts(self, start: int, stop: int) -> sparse.csr_array:
        """CSR float32 (stop - start, features), in the model's order."""
        there = np.flatnonzero(self.columns >= 0)
        block = self.cells.rows(self.conversion.key, self.rows[start:stop], self.columns[there])
        x = require_counts(self.conversion.apply(block), self.cells)
        shape = (stop - start, len(self.columns))
        made = sparse.csr_array((x.data, there[x.indices], x.indptr), shape=shape)
        made.eliminate_zeros()
        made.sort_indices()
        return made


def require_counts(x: sparse.csr_array, cells: Cells) -> sparse.csr_array:
    """The block itself; DataError for what are no counts, or more of them than a cell can have."""
    if x.data.size and (not np.isfinite(x.data).all() or x.data.min() < 0 or (x.data % 1).any()):
        raise DataError("its counts are no whole numbers from 0", file=cells.name)
    if x.data.size and x.sum(axis=1).max() > DEEPEST:
        raise DataError(f"a cell has more than {DEEPEST:,.0f} counts", file=cells.name)
    return x


def given(found: Artifact, cells: Cells, fixed: tuple[tuple[str, str], ...]) -> Given:
    """The cells of a file whose conditions the model knows; DataError where its genes are not there."""
    if not fixed:
        raise UsageError(
            "what should be different about --cells?", fix="--condition COLUMN=VALUE says it"
        )
    about, table = conditions_of(found), found.header.outputs
    cells.require_unique("var")
    place = {name: i for i, name in enumerate(cells.var_names.tolist())}
    columns = np.array([place.get(name, -1) for name in table.names], dtype=np.int64)
    n = int((columns >= 0).sum())
    if 2 * n < len(columns):
        raise DataError(
            f"has {n:,} of the model's {len(columns):,} features",
            fix="--cells takes cells of the same genes",
            file=cells.name,
        )
    say(f"{n:,} of {len(columns):,} features of the model are in the file")
    lacking = [column for column in about.columns if column not in cells.obs]
    if lacking:
        raise DataError(f"obs has no {lacking[0]!r}, a condition of the model", file=cells.name)
    codes = about.codes(cells.obs)
    rows = np.flatnonzero(np.all(codes >= 0, axis=1))
    if not len(rows):
        raise DataError("no cell has conditions that the model knows", file=cells.name)
    if len(rows) < len(codes):
        say(
            f"{len(codes) - len(rows):,} cells of conditions that the model does not know: left out"
        )
    return Given(cells, rows, codes[rows], columns, choose(cells, table.modality, "counts"))
