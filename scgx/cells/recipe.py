"""What `normalize` is to do to a file, decided before a value is written: a step per modality."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from scgx.cells import normalize
from scgx.cells.normalize import Array
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities, parse_modality, present
from scgx.h5ad.units import declared, layer_name, units_of
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
        again = (
            "--layer counts normalises the counts"
            if cells.has("layers/counts")
            else "nothing to do"
        )
        raise DataError(f"X is so already: {done}", fix=again, file=cells.name)
    if not cells.has("X") and len(steps) < len(present(cells.var)):
        raise DataError("has no X to keep the other features in", file=cells.name)
    return Plan(steps, already)


def _step(cells: Cells, modality: str, method: str, layer: str | None) -> Step | None:
    """The step of one modality; None when X is in the unit already."""
    key = "X" if layer in (None, "X") else f"layers/{layer}"
    if layer is None and not cells.has("X"):
        return _from_counts(cells, modality, method, key, "nothing")
    unit = unit_of(cells, key, modality)
    if unit == UNIT[method]:
        return None if key == "X" else Step(modality, method, key, unit)
    if unit in _TAKES[method]:
        return Step(modality, method, key, unit)
    return _from_counts(cells, modality, method, key, unit)


def unit_of(cells: Cells, key: str, modality: str) -> str:
    """The unit; ones and zeros that nobody declared binary are counts, but for peaks."""
    unit = units_of(cells, key, modality)
    if unit == "binary" and modality != "atac" and declared(cells, key, modality) is None:
        return "counts"
    return unit


def _from_counts(cells: Cells, modality: str, method: str, key: str, unit: str) -> Step:
    """A step from the counts that lie elsewhere in the file; DataError says why there is none."""
    for source in ("layers/counts", "raw/X"):
        if not cells.has(source) or (source == "raw/X" and raw_columns(cells) is None):
            continue
        if unit_of(cells, source, modality) in ("counts", *_TAKES[method]):
            return Step(modality, method, source, unit_of(cells, source, modality))
    named = _in_words(cells, modality, key, unit)
    fix = {
        "tfidf": "scgx normalize --method binary makes presence of any values",
        "counts": "start from the file of counts",
    }.get(method, "name a layer of counts with --layer")
    words = f"{layer_name(key)} of {modality} holds {named}, and no layer or raw holds counts"
    raise DataError(words, fix=fix, file=cells.name)


def raw_columns(cells: Cells) -> Array | None:
    """Where in raw/X the features of X are, int64 (n_var,); None where one is not."""
    place = {name: i for i, name in enumerate(cells.raw_names)}
    columns = [place.get(name, -1) for name in cells.var_names]
    return None if -1 in columns else np.array(columns, dtype=np.int64)


def _in_words(cells: Cells, modality: str, key: str, unit: str) -> str:
    """A unit for a person; linear scaled values are told apart by what cells sum to."""
    columns = np.flatnonzero(modalities(cells.var) == modality)
    if unit == "scaled-counts":
        block = next(cells.blocks(key, columns=columns))
        return normalize.scaled_name(normalize.row_totals(block.X))
    if unit == "unknown" and cells.has(key):
        missing = sum(normalize.not_finite(block.X) for block in cells.blocks(key, columns=columns))
        return f"{missing:,} missing or infinite values" if missing else unit
    return unit


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
