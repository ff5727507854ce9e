"""Counts per cell and modality, kept before features are dropped.

Depth normalisation divides by all that was counted in a cell. Once features are gone nobody can sum
them, so the sums travel in obs["total_counts_<modality>"]. They are gathered while the matrix
streams by for another reason, and cost no pass of their own.
"""

from __future__ import annotations

from collections.abc import Container

import h5py
import numpy as np
import scipy

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities
from scgx.h5ad.units import counts_key
from scgx.h5ad.writer import Writer


class Totals:
    """Row sums (float64) of the modalities whose counts one matrix holds."""

    def __init__(self, n_obs: int, masks: dict[str, np.ndarray]) -> None:
        """`masks`: modality -> which columns (bool, n_var) are of it."""
        self._masks = masks
        self.sums = {name: np.zeros(n_obs) for name in masks}

    def add(self, start: int, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> None:
        """Add rows from `start` on, as the arrays of a CSR matrix."""
        for name, mask in self._masks.items():
            values = data if mask.all() else np.where(mask[indices], data, 0)
            filled = np.flatnonzero(np.diff(indptr))  # reduceat has no notion of an empty row
            if len(filled):
                sums = np.add.reduceat(values, indptr[filled], dtype=np.float64)
                self.sums[name][start + filled] = sums

    def add_block(self, start: int, block: scipy.sparse.csr_array | np.ndarray) -> None:
        """Add a block of rows with all columns, CSR or dense."""
        for name, mask in self._masks.items():
            part = block[:, np.flatnonzero(mask)]
            self.sums[name][start : start + block.shape[0]] = np.asarray(
                part.sum(axis=1, dtype=np.float64)
            ).ravel()


def missing_totals(cells: Cells) -> dict[str, Totals]:
    """By matrix ("X", "layers/counts"): the totals that obs lacks and that can be counted there."""
    kinds = modalities(cells.var)
    masks: dict[str, dict[str, np.ndarray]] = {}
    for name in dict.fromkeys(kinds.tolist()):
        if f"total_counts_{name}" in _columns(cells):
            continue
        try:
            key = counts_key(cells, name)
        except DataError:
            continue  # normalised already: what was counted is not in the file any more
        masks.setdefault(key, {})[name] = kinds == name
    return {key: Totals(cells.n_obs, group) for key, group in masks.items()}


def _columns(cells: Cells) -> Container[str]:
    """The names of obs' columns, for which the columns need not be read."""
    table = cells.h5["obs"]
    return table if isinstance(table, h5py.Group) else cells.obs


def write_totals(cells: Cells, out: Writer, totals: dict[str, Totals]) -> None:
    """Copy obs and add the columns total_counts_<modality>; what was there stays bit for bit."""
    out.copy(cells, "obs")
    for group in totals.values():
        for name, sums in group.sums.items():
            out.column("obs", f"total_counts_{name}", sums)
