"""Which features a model learns from: how much each varies over the training rows, and the choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scgx.cells import coordinates, normalize
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import present
from scgx.learn.knobs import read_names
from scgx.learn.panel import LINEAR, Lens, Names

ROWS = 4_096


def main_modality(cells: Cells) -> str:
    """rna where the file has it, else the only one there is; UsageError where there are several."""
    kinds = present(cells.var)
    if "rna" in kinds or len(kinds) == 1:
        return "rna" if "rna" in kinds else kinds[0]
    raise UsageError(f"--from is needed: the file has {', '.join(kinds)}")


def moments(cells: Cells, lens: Lens, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean share of a cell's counts (p,) and variance of the input (p,) over training rows."""
    n, width = len(train), len(lens.panel)
    share, total, squares = np.zeros(width), np.zeros(width), np.zeros(width)
    genes = lens.panel.modality in coordinates.GENES
    for start in range(0, n, ROWS):
        raw = lens.raw(cells, train[start : start + ROWS])
        x = lens.of(raw)
        total += np.asarray(x.sum(axis=0), np.float64).ravel()
        squares += np.asarray(x.multiply(x).sum(axis=0), np.float64).ravel()
        if genes:
            linear = raw if lens.conversion.have in LINEAR else normalize.linear_from_log1p(raw)
            sums = normalize.row_totals(linear)
            each = np.where(sums > 0, 1 / np.where(sums > 0, sums, 1), 0)
            share += linear.T @ each
    variance = np.maximum(squares / n - (total / n) ** 2, 0)
    variance[variance < 1e-12 * (1 + squares / n)] = 0
    return (share / share.sum() if share.sum() > 0 else np.full(width, 1 / width)), variance


def choose_features(
    cells: Cells, columns: np.ndarray, names: Names, variance: np.ndarray, wish: str | None
) -> np.ndarray:
    """Positions of the features that the model takes, sorted; those that never vary are left out."""
    varies = variance > 0
    if wish is None:
        return np.flatnonzero(varies)
    if wish == "marked":
        if "highly_variable" not in cells.var:
            raise DataError(
                "var has no highly_variable", fix="--features N chooses here", file=cells.name
            )
        marked = cells.var.take(columns).numbers("highly_variable") == 1
        kept = np.flatnonzero(varies & marked)
    elif wish.lstrip("+-").isdigit():
        if int(wish) < 1:
            raise UsageError(
                f"--features {wish} keeps none", fix="a number from 1, marked or a file"
            )
        order = np.argsort(-variance, kind="stable")[: int(wish)]
        kept = np.sort(order[varies[order]])
    else:
        wanted = set(read_names(Path(wish)))
        asked = np.array([bool({n, i, s} & wanted) for n, i, s in zip(*names)], dtype=bool)
        kept = np.flatnonzero(varies & asked)
    if not len(kept):
        raise DataError(f"--features {wish} leaves no feature that varies", file=cells.name)
    return kept
