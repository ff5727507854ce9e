"""The pass that writes what `recipe` planned: X, the counts that X held, the weights of TF-IDF.

Columns that no step names stay as they are, to the bit. What a cell's dataset did not measure is no
part of any sum, mean or frequency.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from scgx import progress
from scgx.cells import normalize
from scgx.cells.normalize import Array, Matrix
from scgx.cells.recipe import Step, raw_columns, unit_of
from scgx.errors import DataError
from scgx.h5ad.aligned import Source, worked
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities, present
from scgx.h5ad.fitted import Rows, rows_to_fit
from scgx.h5ad.isotypes import marked
from scgx.h5ad.measured import Measured, measured_of
from scgx.h5ad.units import units_of
from scgx.h5ad.writer import Writer

Masks = Mapping[str, Array]


def with_weights(cells: Cells, step: Step, memory: int) -> tuple[Step, Rows]:
    """Fit the inverse document frequencies; also the cells that they were fitted on."""
    fit_on = rows_to_fit(cells)
    rows = fit_on.rows if fit_on.train else None
    frequency = np.zeros(cells.n_var, dtype=np.int64)
    measured = measured_of(cells)
    counted = partial(_frequency, fit_on.rows, measured)
    for some in worked([_source(cells, step.source, rows)], memory, counted):
        frequency += some
    asked = len(fit_on.rows) if measured is None else measured.cells(fit_on.rows)
    weights = normalize.idf(frequency, asked)
    return replace(step, weights=weights), fit_on


def _frequency(
    rows: Array, measured: Measured | None, start: int, blocks: tuple[Matrix, ...]
) -> Array:
    """In how many cells of a block each feature is."""
    (block,) = blocks
    here = rows[start : start + block.shape[0]]
    return normalize.document_frequency(_known(block, here, measured))


def write(cells: Cells, out: Writer, steps: Sequence[Step], memory: int) -> None:
    """Write X, the counts that X held; in var the weights of TF-IDF (`idf`) and isotype controls."""
    kinds = modalities(cells.var)
    masks = {step.modality: kinds == step.modality for step in steps}
    _write_matrix(cells, out, "X", steps, masks, memory)
    keep = [kept for step in steps if (kept := _kept(cells, step)) is not None]
    if keep:
        _write_matrix(cells, out, "layers/counts", keep, masks, memory)
    weighted = [step for step in steps if step.method == "tfidf"]
    var = marked(cells.var)
    if weighted:
        idf = cells.var.numbers("idf") if "idf" in cells.var else np.full(cells.n_var, np.nan)
        for step in weighted:
            idf = np.where(masks[step.modality], step.weights, idf)
        var = (var or cells.var).with_column("idf", idf)
    if var is not None:
        out.frame("var", var)


def units_after(cells: Cells, steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """The units to record, by layer and modality."""
    here = {name: unit_of(cells, "X", name) for name in present(cells.var) if cells.has("X")}
    units = {"X": {**here, **{step.modality: step.made for step in steps}}}
    kept = {made.modality: made.made for step in steps if (made := _kept(cells, step))}
    if kept:
        units["counts"] = kept if cells.has("layers/counts") else {**here, **kept}
    return units


def _kept(cells: Cells, step: Step) -> Step | None:
    """How layers/counts gets the counts that would be lost with X; None when they are not."""
    if step.source != "X" or step.method == "counts":
        return None
    if step.unit not in ("counts", "binary", "log1p-counts"):
        return None
    layer = "layers/counts"
    if cells.has(layer) and units_of(cells, layer, step.modality) in ("counts", "binary"):
        return None
    return Step(step.modality, "binary" if step.unit == "binary" else "counts", "X", step.unit)


def _source(cells: Cells, key: str, rows: Array | None = None) -> Source:
    """A matrix with the features of X, whatever it is."""
    return Source(cells, key, rows, raw_columns(cells) if key == "raw/X" else None)


def _write_matrix(
    cells: Cells, out: Writer, key: str, steps: Sequence[Step], masks: Masks, memory: int
) -> None:
    """One output matrix: each step's columns from its source, the rest from what is there."""
    whole = bool(np.logical_or.reduce([masks[step.modality] for step in steps]).all())
    base = steps[0].source if whole else key if cells.has(key) else "X"
    keys = list(dict.fromkeys([base, *(step.source for step in steps)]))
    kinds = [cells.matrix(step.source).dtype if step.copies else np.float32 for step in steps]
    dtype = np.result_type(*kinds, *([] if whole else [cells.matrix(base).dtype]))
    is_sparse = cells.matrix(base).kind != "dense"
    work = _Work(cells, tuple(keys), tuple(steps), masks, measured_of(cells), dtype)
    matrix = out.matrix(key, cells.n_var, dtype, is_sparse=is_sparse)
    with matrix as append, progress.bar(f"writing {key}", cells.n_obs) as advance:
        for block in worked([_source(cells, name) for name in keys], memory, work):
            append(block)
            advance(block.shape[0])


@dataclass(frozen=True)
class _Work:
    """How a block of every source becomes one of the output; the first key is what stays."""

    cells: Cells
    keys: tuple[str, ...]
    steps: tuple[Step, ...]
    masks: Masks
    measured: Measured | None
    dtype: np.dtype

    def __call__(self, start: int, blocks: tuple[Matrix, ...]) -> Matrix:
        found = dict(zip(self.keys, blocks, strict=True))
        block = blocks[0]
        rows = slice(start, start + block.shape[0])
        for step in self.steps:
            mask = self.masks[step.modality]
            source = _known(found[step.source], np.arange(start, rows.stop), self.measured)
            convert = _method(self.cells, step, rows, mask, self.measured)
            block = normalize.splice(block, convert(normalize.part(source, mask)), mask)
        return block.astype(self.dtype, copy=False)


def _known(block: Matrix, rows: Array, measured: Measured | None) -> Matrix:
    """A block without what the datasets of its cells did not measure."""
    return block if measured is None else measured.clear(block, rows)


def _method(
    cells: Cells, step: Step, rows: slice, mask: Array, measured: Measured | None
) -> Callable[[Matrix], Matrix]:
    """The function of a step for the cells of one block."""
    if step.copies:
        return lambda block: block
    if step.method == "counts":
        return normalize.counts_from_log1p
    if step.method == "binary":
        return normalize.binary
    if step.method == "clr":
        count = int(mask.sum())
        if measured is None:
            return partial(normalize.clr, n_features=count)
        panels = measured.panel(np.arange(rows.start, rows.stop), np.flatnonzero(mask))
        return partial(normalize.clr, n_features=panels)
    totals = cells.obs.numbers(step.totals)[rows] if step.totals else None
    if step.method == "tfidf":
        return partial(normalize.tfidf, weights=step.weights, totals=totals)
    if step.factors and totals is not None:
        totals = totals * normalize.SCALE
    elif totals is not None:
        return partial(_checked_log1p, totals=totals, column=step.totals)
    if step.unit == "log1p-counts":
        return lambda block: normalize.log1p_cp10k(normalize.counts_from_log1p(block), totals)
    return partial(normalize.log1p_cp10k, totals=totals)


def _checked_log1p(block: Matrix, totals: Array, column: str) -> Matrix:
    """Totals of the whole cell are never less than the sum of what is left of it."""
    less = int(np.count_nonzero(totals + 0.5 < normalize.row_totals(block)))
    if less:
        raise DataError(
            f"obs[{column!r}] is below the sum of the counts in {less:,} cells",
            fix="it belongs to other data: remove or rename that column",
        )
    return normalize.log1p_cp10k(block, totals)
