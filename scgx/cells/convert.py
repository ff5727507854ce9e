"""What `normalize` does to a file: which columns come from where, and the pass that writes them.

A plan has one step per modality. Columns that no step names stay as they are, to the bit.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from scgx.cells import normalize
from scgx.cells.normalize import Array, Matrix
from scgx.errors import DataError, UsageError
from scgx.h5ad.aligned import Source, together
from scgx.h5ad.features import modalities, parse_modality, present
from scgx.h5ad.reader import Cells
from scgx.h5ad.units import declared, layer_name, units_of
from scgx.h5ad.writer import Writer
from scgx.registry import suggest

UNIT = {
    "log1p": "log1p-cp10k",
    "tfidf": "tfidf",
    "binary": "binary",
    "counts": "counts",
    "clr": "clr",
}
DEFAULT = {"rna": "log1p", "activity": "log1p", "atac": "tfidf", "adt": "clr"}
_NATURAL = {
    "log1p": ("rna", "activity"),
    "tfidf": ("atac",),
    "binary": ("atac",),
    "clr": ("adt",),
    "counts": ("rna", "activity", "atac", "adt"),
}
_TAKES = {  # units that a method starts from; others go through the counts, where there are any
    "log1p": ("counts", "scaled-counts", "log1p-counts"),
    "tfidf": ("counts", "binary"),
    "binary": ("counts", "scaled-counts", "log1p-cp10k", "log1p-counts", "clr"),
    "clr": ("counts",),
    "counts": ("log1p-counts",),
}


@dataclass(frozen=True)
class Step:
    """One modality's columns of X: what they are made of and how."""

    modality: str
    method: str
    source: str  # "X", "layers/counts", "raw/X"
    unit: str  # of the source
    totals: str = ""  # a column of obs to divide by
    factors: bool = False  # is it size factors, which divide as they are
    weights: Array = field(default_factory=lambda: np.empty(0))  # float64 (features,), of TF-IDF

    @property
    def made(self) -> str:
        """The unit that it makes."""
        return "unknown" if self.factors else UNIT[self.method]

    @property
    def copies(self) -> bool:
        """Is the source in the unit already?"""
        return self.unit == UNIT[self.method]


class Plan(NamedTuple):
    """The steps, and the modalities that were in the unit already."""

    steps: list[Step]
    already: dict[str, str]


Masks = Mapping[str, Array]


def plan(
    cells: Cells, method: str | None, modality: str | None = None, layer: str | None = None
) -> Plan:
    """What to do to which modality. DataError where the values do not allow it, or it is done."""
    if method is not None and method not in UNIT:
        raise UsageError(f"no method {method!r}", fix=suggest(method, list(UNIT)))
    here = [name for name in present(cells.var) if name in DEFAULT]
    if modality is not None:
        chosen = [parse_modality(modality)]
        if chosen[0] not in here:
            has = ", ".join(here) or "none"
            raise DataError(f"has no {chosen[0]} features", fix=f"it has {has}", file=cells.name)
    elif method is not None:
        chosen = [name for name in here if name in _NATURAL[method]] or here
    else:
        chosen = here
    if not chosen:
        raise DataError("no feature is of a known modality", fix="set var['feature_types']")
    steps, already = [], {}
    for name in chosen:
        step = _step(cells, name, method or DEFAULT[name], layer)
        if step is None:
            already[name] = UNIT[method or DEFAULT[name]]
        else:
            steps.append(step)
    if not steps:
        done = ", ".join(f"{name} is {unit}" for name, unit in already.items())
        raise DataError(f"X is so already: {done}", fix="nothing to do", file=cells.name)
    if not cells.has("X") and len(steps) < len(present(cells.var)):
        raise DataError("has no X to keep the other features in", file=cells.name)
    return Plan(steps, already)


def _step(cells: Cells, modality: str, method: str, layer: str | None) -> Step | None:
    """The step of one modality; None when X is in the unit already."""
    key = "X" if layer in (None, "X") else f"layers/{layer}"
    if layer is None and not cells.has("X"):
        return _from_counts(cells, modality, method, key, "nothing")
    unit = _unit(cells, key, modality)
    if unit == UNIT[method]:
        return None if key == "X" else Step(modality, method, key, unit)
    if unit in _TAKES[method]:
        return Step(modality, method, key, unit)
    return _from_counts(cells, modality, method, key, unit)


def _unit(cells: Cells, key: str, modality: str) -> str:
    """The unit; ones and zeros that nobody declared binary are counts, but for peaks."""
    unit = units_of(cells, key, modality)
    if unit == "binary" and modality != "atac" and declared(cells, key, modality) is None:
        return "counts"
    return unit


def _from_counts(cells: Cells, modality: str, method: str, key: str, unit: str) -> Step:
    """A step from the counts that lie elsewhere in the file; DataError says why there is none."""
    for source in ("layers/counts", "raw/X"):
        fits = cells.has(source) and cells.matrix(source).shape == cells.shape
        if fits and _unit(cells, source, modality) in ("counts", *_TAKES[method]):
            return Step(modality, method, source, _unit(cells, source, modality))
    named = _in_words(cells, modality, key, unit)
    fix = {
        "tfidf": "scgx normalize --method binary makes presence of any values",
        "counts": "start from the file of counts",
    }.get(method, "name a layer of counts with --layer, or start from the file of counts")
    words = f"{layer_name(key)} of {modality} holds {named}, and no layer or raw holds counts"
    raise DataError(words, fix=fix, file=cells.name)


def _in_words(cells: Cells, modality: str, key: str, unit: str) -> str:
    """A unit for a person; linear scaled values are told apart by what cells sum to."""
    if unit != "scaled-counts":
        return unit
    block = next(cells.blocks(key, columns=np.flatnonzero(modalities(cells.var) == modality)))
    return normalize.scaled_name(normalize.row_totals(block.X))


def with_totals(cells: Cells, step: Step, size_factors: str | None) -> Step:
    """The column to divide by: --size-factors, else what an earlier command left of the whole."""
    if size_factors is not None and step.method == "log1p":
        if size_factors not in cells.obs:
            near = suggest(size_factors, list(cells.obs.columns))
            raise DataError(f"no column {size_factors!r} in obs", fix=near, file=cells.name)
        return replace(step, totals=size_factors, factors=True)
    column = f"total_counts_{step.modality}"
    usable = step.unit in ("counts", "binary") and step.method in ("log1p", "tfidf")
    return replace(step, totals=column) if usable and column in cells.obs else step


def with_weights(cells: Cells, step: Step, memory: int) -> tuple[Step, int, bool]:
    """Fit the inverse document frequencies; also the number of cells, and were they train alone."""
    rows = None
    if "split" in cells.obs:
        rows = np.flatnonzero(cells.obs.strings("split") == "train")
        if not len(rows):
            raise DataError("no cell is in train", fix="scgx split", file=cells.name)
    frequency = np.zeros(cells.n_var, dtype=np.int64)
    for (block,) in together([Source(cells, step.source, rows)], memory):
        frequency += normalize.document_frequency(block)
    count = cells.n_obs if rows is None else len(rows)
    weights = normalize.idf(frequency, count)
    return replace(step, weights=weights), count, rows is not None


def write(cells: Cells, out: Writer, steps: Sequence[Step], memory: int) -> None:
    """Write X, the counts that X held, and the weights of TF-IDF in var["idf"]."""
    kinds = modalities(cells.var)
    masks = {step.modality: kinds == step.modality for step in steps}
    _write_matrix(cells, out, "X", steps, masks, memory)
    keep = [kept for step in steps if (kept := _kept(cells, step)) is not None]
    if keep:
        _write_matrix(cells, out, "layers/counts", keep, masks, memory)
    weighted = [step for step in steps if step.method == "tfidf"]
    if weighted:
        idf = cells.var.numbers("idf") if "idf" in cells.var else np.full(cells.n_var, np.nan)
        for step in weighted:
            idf = np.where(masks[step.modality], step.weights, idf)
        out.frame("var", cells.var.with_column("idf", idf))


def units_after(cells: Cells, steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """The units to record, by layer and modality."""
    here = {name: _unit(cells, "X", name) for name in present(cells.var) if cells.has("X")}
    units = {"X": {**here, **{step.modality: step.made for step in steps}}}
    kept = {made.modality: made.made for step in steps if (made := _kept(cells, step))}
    if kept:
        units["counts"] = kept if cells.has("layers/counts") else {**here, **kept}
    return units


def fitted(step: Step, count: int, *, train: bool) -> str:
    """What is recorded of a fit: by which method, on which rows, how many."""
    rows = "train" if train else "all"
    record = {"by": f"normalize {step.method}", "rows": rows, "cells": count}
    return json.dumps(record, sort_keys=True)


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
    start = 0
    with out.matrix(key, cells.n_var, dtype, is_sparse=is_sparse) as append:
        for blocks in together([Source(cells, name) for name in keys], memory):
            found = dict(zip(keys, blocks, strict=True))
            block = found[base]
            rows = slice(start, start + block.shape[0])
            for step in steps:
                mask = masks[step.modality]
                made = _method(cells, step, rows, mask)(normalize.part(found[step.source], mask))
                block = normalize.splice(block, made, mask)
            append(block.astype(dtype, copy=False))
            start = rows.stop


def _method(cells: Cells, step: Step, rows: slice, mask: Array) -> Callable[[Matrix], Matrix]:
    """The function of a step for the cells of one block."""
    if step.copies:
        return lambda block: block
    if step.method == "counts":
        return normalize.counts_from_log1p
    if step.method == "binary":
        return normalize.binary
    if step.method == "clr":
        return partial(normalize.clr, n_features=int(mask.sum()))
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
