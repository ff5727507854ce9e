"""Use a trained model on cells: its features by name, its units, blocks of one size.

Blocks are padded to exactly 512 rows, since matrix products may differ in the last bit with the number
of rows: so neither --memory nor the other cells of a file change a cell's answer. Features that the
file lacks are zero columns marked absent, and depth is computed on the shared panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.learn.artifact import Header
from scgx.learn.block import CellBlock
from scgx.learn.convert import Conversion, choose, totals_of
from scgx.learn.model import Predicts
from scgx.progress import say

ROWS = 512


@dataclass(frozen=True)
class Alignment:
    """Columns of the file for each input of the model (-1 where it has none), and the conversion."""

    columns: np.ndarray
    conversion: Conversion
    totals: np.ndarray | None

    @property
    def present(self) -> np.ndarray:
        """Which inputs the file has, bool (inputs,)."""
        return self.columns >= 0


def align(cells: Cells, header: Header, min_overlap: float) -> Alignment:
    """Match the model's inputs by name; DataError below `min_overlap` (share of the model's inputs)."""
    modality, wanted = header.inputs.modality, header.inputs.names
    here = columns_of(cells, modality)
    names = cells.var_names[here]
    place: dict[str, int] = {}
    for name, column in zip(names, here):
        if place.setdefault(name, int(column)) != column:
            cells.require_unique("var")
    columns = np.array([place.get(name, -1) for name in wanted], dtype=np.int64)
    found = int((columns >= 0).sum())
    genome = str(cells.scgx.get("genome", ""))
    if genome and header.genome and genome != header.genome:
        raise DataError(
            f"is on {genome}, the model was trained on {header.genome}", file=cells.name
        )
    if found < max(1, min_overlap * len(wanted)):
        few = f"has {found:,} of the model's {len(wanted):,} {modality} features"
        if found < len(names) / 2:
            few += f" ({names[0]!r} here, {wanted[0]!r} there)"
            fix = "same genome and id type? --min-overlap lowers the bar"
        else:
            fix = f"the file has {len(names):,}; --min-overlap lowers the bar"
        raise DataError(few, fix=fix, file=cells.name)
    say(f"{found:,} of {len(wanted):,} {modality} features of the model are in the file")
    conversion = choose(cells, modality, header.inputs.units)
    whole = found == len(wanted)
    totals = totals_of(cells, modality) if header.totals == "obs" and whole else None
    return Alignment(columns, conversion, totals)


def blocks(cells: Cells, alignment: Alignment, rows: np.ndarray) -> Iterator[tuple[int, CellBlock]]:
    """(valid rows, block of exactly 512 rows) over `rows` in the order given."""
    present = alignment.present
    columns = alignment.columns[present]
    placed = np.flatnonzero(present)
    width = len(present)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        values = cells.rows(alignment.conversion.key, part, columns)
        totals = alignment.totals[part] if alignment.totals is not None else None
        use = totals if alignment.conversion.uses_totals else None
        x = alignment.conversion.apply(values, use)
        depth = totals if totals is not None else np.asarray(x.sum(axis=1), np.float64).ravel()
        indptr = np.concatenate([x.indptr, np.full(ROWS - len(part), x.indptr[-1], x.indptr.dtype)])
        x = sparse.csr_array((x.data, placed[x.indices], indptr), shape=(ROWS, width))
        x.sort_indices()  # sums over a row then run in the model's order, whatever the file's
        padded = np.concatenate([part, np.full(ROWS - len(part), part[-1])])
        depth = np.concatenate([depth, np.zeros(ROWS - len(part))])
        yield len(part), CellBlock(x, cells.obs.take(padded), depth, present)


def predict(
    model: object, cells: Cells, alignment: Alignment, rows: np.ndarray, name: str
) -> Iterator[np.ndarray]:
    """Predictions of `rows` in order, float32 (up to 512, outputs) a time; `name`: the model file."""
    if not isinstance(model, Predicts):
        raise DataError("this model never predicts a modality", file=name)
    for valid, block in blocks(cells, alignment, rows):
        try:
            made = model.predict(block)
        except (IndexError, ValueError) as error:
            what = f"its weights do not fit its features: {error}"
            raise InputError(what, fix="train it again", file=name) from error
        yield made[:valid]
