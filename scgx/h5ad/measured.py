"""Which dataset measured which feature, in files that several datasets were stacked into.

`varm["measured"]` is a table of truth values, features x datasets; `uns["scgx"]["measured"]` names its
columns and the column of obs that says which dataset a cell is of. Where a dataset did not measure a
feature the matrix stores nothing, and nothing is not zero: whoever counts, averages or scores asks
here first. What happens to be stored there means nothing either, and `clear` removes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.writer import Writer

PLACE = "measured"
KEY = "dataset"


@dataclass(frozen=True)
class Measured:
    """`mask` bool (n_var, datasets); `datasets` their names; `codes` int64 (n_obs,): of which one a
    cell is; `key` the column of obs that says so.
    """

    mask: np.ndarray
    datasets: np.ndarray
    codes: np.ndarray
    key: str = KEY

    def of(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """What was measured of some cells and features (all by default), bool (rows, columns)."""
        mask = self.mask if columns is None else self.mask[columns]
        return np.ascontiguousarray(mask.T)[self.codes[rows]]

    def clear(
        self,
        block: sparse.csr_array | np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray | None = None,
    ) -> sparse.csr_array | np.ndarray:
        """A block of these rows and columns without the values that nobody measured, which become
        absent (CSR) or zero (dense).
        """
        if isinstance(block, np.ndarray):
            known = self.of(rows, columns)
            return block if known.all() else np.where(known, block, np.zeros((), block.dtype))
        mask = self.mask if columns is None else self.mask[columns]
        owner = np.repeat(self.codes[rows], np.diff(block.indptr))
        kept = mask[block.indices, owner]
        if kept.all():
            return block
        before = np.concatenate([[0], np.cumsum(kept)]).astype(block.indptr.dtype)
        parts = (block.data[kept], block.indices[kept], before[block.indptr])
        return sparse.csr_array(parts, shape=block.shape)

    def panel(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """How many of these features were measured in each of these cells, int64 (n,)."""
        return self.mask[columns].sum(axis=0)[self.codes[rows]]

    def cells(self, rows: np.ndarray | None = None) -> np.ndarray:
        """How many of the cells `rows` (all by default) measured each feature, int64 (n_var,)."""
        codes = self.codes if rows is None else self.codes[rows]
        sizes = np.bincount(codes, minlength=len(self.datasets))
        return self.mask @ sizes.astype(np.int64)


def measured_of(cells: Cells) -> Measured | None:
    """Who measured what; None where every dataset measured everything, or the file says nothing.

    DataError where a cell's dataset is not among those of the table, InputError where the table
    does not fit the file.
    """
    found = table_of(cells)
    return None if found is None or found.mask.all() else found


def table_of(cells: Cells) -> Measured | None:
    """The same where all was measured, too; None for a file that was never stacked."""
    facts = cells.scgx.get(PLACE)
    item = cells.h5.get(f"varm/{PLACE}")
    if not isinstance(facts, dict) or not isinstance(item, h5py.Dataset):
        return None
    names = np.atleast_1d(np.asarray(facts.get("datasets", []), dtype=object))
    mask = item[()].astype(bool)
    if mask.shape != (cells.n_var, len(names)):
        raise InputError(
            f"varm['{PLACE}'] is {mask.shape} for {cells.n_var:,} features of {len(names)} datasets",
            fix="make it again with scgx concat",
            file=cells.name,
        )
    key = str(facts.get("key", KEY))
    if mask.all() and key not in cells.obs:
        return None
    return Measured(mask, names, _codes(cells, key, names), key)


def _codes(cells: Cells, key: str, names: np.ndarray) -> np.ndarray:
    if key not in cells.obs:
        raise DataError(
            f"obs[{key!r}] is gone, which says what measured each cell",
            fix=f"keep that column, or remove varm['{PLACE}'] if zeros are meant",
            file=cells.name,
        )
    place = {name: code for code, name in enumerate(names.tolist())}
    words = cells.obs.strings(key)
    strange = next((word for word in words if word not in place), "")
    if strange != "":
        raise DataError(
            f"obs[{key!r}] has {strange!r}, and varm['{PLACE}'] knows {', '.join(place)}",
            fix="keep that column as scgx concat wrote it",
            file=cells.name,
        )
    return np.array([place[word] for word in words], dtype=np.int64)


def write_measured(out: Writer, measured: Measured) -> None:
    """Write the table and what its columns are; obs[key] is for the caller."""
    out.array(f"varm/{PLACE}", measured.mask)
    out.uns(f"scgx/{PLACE}/key", measured.key)
    out.uns(f"scgx/{PLACE}/datasets", measured.datasets.astype(object))
