"""Which rows a loader reads, and how often each of them comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.learn.parts import PARTS
from scgx.learn.vocabulary import labels
from scgx.progress import say


class Chosen(NamedTuple):
    """Rows, int64 ascending, numbered through all files; what each weighs, None for each once."""

    rows: np.ndarray
    weights: np.ndarray | None


def choose(
    files: Sequence[Cells], split: str | None, balance: str | None, weights: str | np.ndarray | None
) -> Chosen:
    """Rows of a part of the split; weighed so that labels are equally likely, or as said.

    DataError where none is left, or a weight is no weight.
    """
    offsets = np.cumsum([0] + [cells.n_obs for cells in files])
    rows = np.concatenate([_part(cells, split) + start for cells, start in zip(files, offsets)])
    weight = None
    if balance is not None:
        weight = labels(files, balance).weights(rows)
    elif isinstance(weights, str):
        weight = np.concatenate([_numbers(cells, weights) for cells in files])[rows]
    elif weights is not None:
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (offsets[-1],):
            raise UsageError(f"weights of shape {given.shape} for {offsets[-1]:,} cells")
        weight = given[rows]
    if weight is not None:
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise DataError("a weight is missing, infinite or negative")
        if without := int((weight == 0).sum()):
            say(f"{without:,} of {len(rows):,} cells have no label or no weight: left out")
        rows, weight = rows[weight > 0], weight[weight > 0]
    if not len(rows):
        raise DataError(f"has no cells to read (split: {split})", file=files[0].name)
    return Chosen(rows, weight)


def _part(cells: Cells, split: str | None) -> np.ndarray:
    if split is None:
        return np.arange(cells.n_obs)
    if split not in PARTS:
        raise UsageError(
            f"split={split!r} is not known", fix="train, val, test, or None for every row"
        )
    if "split" not in cells.columns:
        if split != "train":
            raise DataError(f"has no split, so no {split} rows", fix="scgx split", file=cells.name)
        say(f"{cells.name}: no split in the file: every row is read")
        return np.arange(cells.n_obs)
    column = Frame(np.empty(cells.n_obs, object), {"split": cells.column("split")})
    return np.flatnonzero(column.strings("split") == split)


def _numbers(cells: Cells, name: str) -> np.ndarray:
    with cells.naming():
        return Frame(np.empty(cells.n_obs, object), {name: cells.column(name)}).numbers(name)
