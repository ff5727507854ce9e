"""Use a trained model on cells: its features by name, its units, blocks of one size.

Blocks are padded to exactly 512 rows, since matrix products may differ in the last bit with the number
of rows: so neither --memory nor the other cells of a file change a cell's answer. Features that the
file lacks are zero columns marked absent, and depth is computed on the shared panel. Where datasets
measured different features, a block holds cells of one dataset, and what it did not measure is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse

from scgx.cluster.work import mapped
from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.measured import Measured, measured_of
from scgx.learn.artifact import Header
from scgx.learn.block import CellBlock
from scgx.learn.convert import Conversion, divisors, totals_of
from scgx.learn.model import Predicts
from scgx.learn.places import find
from scgx.progress import say

ROWS = 512


@dataclass(frozen=True)
class Alignment:
    """Columns of the file for each input of the model (-1 where it has none), and the conversion.

    `divisors` (n_obs,) are what values are divided by where other features of the file count too.
    """

    columns: np.ndarray
    conversion: Conversion
    totals: np.ndarray | None
    measured: Measured | None = None
    divisors: np.ndarray | None = None

    @property
    def present(self) -> np.ndarray:
        """Which inputs the file has, bool (inputs,)."""
        return self.columns >= 0

    def present_in(self, row: int) -> np.ndarray:
        """Which inputs the file has for the dataset of one of its cells, bool (inputs,)."""
        if self.measured is None:
            return self.present
        return self.present & self.measured.mask[self.columns, self.measured.codes[row]]


def align(cells: Cells, header: Header, min_overlap: float) -> Alignment:
    """Match the model's inputs by name; DataError below `min_overlap` (share of the model's inputs)."""
    modality, wanted = header.inputs.modality, header.inputs.names
    found_at = find(cells, modality, header.inputs.at or None, header.inputs.units)
    here, names = found_at.columns, found_at.names
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
    assert found_at.conversion is not None
    whole = found == len(wanted)
    totals = totals_of(cells, modality) if header.totals == "obs" and whole else None
    measured = measured_of(cells) if found_at.in_var else None
    if measured is not None and measured.mask[columns[columns >= 0]].all():
        measured = None
    over = divisors(cells, found_at.conversion, columns) if header.totals == "whole" else None
    return Alignment(columns, found_at.conversion, totals, measured, over if whole else None)


def runs(rows: np.ndarray) -> Iterator[np.ndarray]:
    """512 of `rows` after another: what is answered together, and what a worker is given."""
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))


def blocks(
    cells: Cells, alignment: Alignment, rows: np.ndarray
) -> Iterator[list[tuple[np.ndarray, CellBlock]]]:
    """For 512 of `rows` after another: blocks of exactly 512 rows, and which of the 512 they answer."""
    for part in runs(rows):
        places = alike(alignment.measured, part)
        yield [(place, block(cells, alignment, part[place])) for place in places]


def alike(measured: Measured | None, rows: np.ndarray) -> list[np.ndarray]:
    """Places among `rows` of the cells of one dataset, for each of them."""
    if measured is None:
        return [np.arange(len(rows))]
    codes = measured.codes[rows]
    return [np.flatnonzero(codes == code) for code in np.unique(codes)]


def block(cells: Cells, alignment: Alignment, rows: np.ndarray) -> CellBlock:
    """Up to 512 cells of one dataset, padded with the last of them, in the order of the inputs."""
    present = alignment.present_in(int(rows[0]))
    placed = np.flatnonzero(present)
    values = cells.rows(alignment.conversion.key, rows, alignment.columns[present])
    totals = alignment.totals if present.all() else None
    depth = None if totals is None else totals[rows]
    divisor = depth if alignment.conversion.uses_totals else None
    if alignment.divisors is not None and present.all():
        divisor = alignment.divisors[rows]
    x = alignment.conversion.apply(values, divisor)
    depth = np.asarray(x.sum(axis=1), np.float64).ravel() if depth is None else depth
    padding = ROWS - len(rows)
    indptr = np.concatenate([x.indptr, np.full(padding, x.indptr[-1], x.indptr.dtype)])
    x = sparse.csr_array((x.data, placed[x.indices], indptr), shape=(ROWS, len(present)))
    x.sort_indices()  # sums over a row then run in the model's order, whatever the file's
    obs = cells.obs.take(np.concatenate([rows, np.full(padding, rows[-1])]))
    return CellBlock(x, obs, np.concatenate([depth, np.zeros(padding)]), present)


def predict(
    model: object, cells: Cells, alignment: Alignment, rows: np.ndarray, name: str
) -> Iterator[np.ndarray]:
    """Predictions of `rows` in order, float32 (up to 512, outputs) a time; `name`: the model file."""
    if not isinstance(model, Predicts):
        raise DataError("this model never predicts a modality", file=name)
    return mapped(partial(_predicted, model, cells, alignment, name), runs(rows))


def _predicted(
    model: Predicts, cells: Cells, alignment: Alignment, name: str, run: np.ndarray
) -> np.ndarray:
    """Predictions of up to 512 rows."""
    (together,) = blocks(cells, alignment, run)
    try:
        return in_place([(place, model.predict(block)[: len(place)]) for place, block in together])
    except (IndexError, ValueError) as error:
        what = f"its weights do not fit its features: {error}"
        raise InputError(what, fix="train it again", file=name) from error


def in_place(made: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Answers of several blocks in the order of the rows that were asked for."""
    if len(made) == 1:
        return made[0][1]
    order = np.concatenate([place for place, _answers in made])
    return np.concatenate([answers for _place, answers in made])[np.argsort(order)]
