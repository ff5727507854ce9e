"""In which units a matrix is: declared by who wrote it, else found out from its values.

counts         whole numbers, not negative
log1p-cp10k    log(1 + counts scaled to 10,000 per cell)
log1p-counts   log(1 + counts): expm1 is whole
tfidf          term frequency times inverse document frequency (never detected, only declared)
binary         0 and 1
clr            centred log ratio (antibodies; never detected)
scaled-counts  linear, depth-normalised: CPM, TPM, size factors
scaled         z-scores: negative values
unknown        NaN or infinite values, or nothing stored
"""

from collections.abc import Iterator

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of

UNITS = [
    "counts",
    "log1p-cp10k",
    "log1p-counts",
    "tfidf",
    "binary",
    "clr",
    "scaled-counts",
    "scaled",
    "unknown",
]
_ROWS = 512
_MAX_LOG = 12.0


def layer_name(key: str) -> str:
    """How a matrix is called in uns["scgx"]["units"]: `X`, `counts` for layers/counts, `raw`."""
    return {"X": "X", "raw/X": "raw"}.get(key, key.removeprefix("layers/"))


def declared(cells: Cells, key: str, modality: str) -> str | None:
    """The unit that the file states, if it does."""
    units = cells.scgx.get("units")
    layer = units.get(layer_name(key)) if isinstance(units, dict) else None
    word = layer.get(modality) if isinstance(layer, dict) else None
    return word if isinstance(word, str) and word in UNITS else None


def units_of(
    cells: Cells,
    key: str = "X",
    modality: str | None = None,
    *,
    columns: np.ndarray | None = None,
    ignore_missing: bool = False,
) -> str:
    """The unit of a matrix, of one modality's columns (or those given) where there are several."""
    if modality is not None and (word := declared(cells, key, modality)):
        return word
    if columns is None and modality and key != "raw/X":
        columns = columns_of(cells, modality)
    elif columns is None:
        columns = np.arange(cells.matrix(key).shape[1])
    return detect(_sample(cells, key, columns), ignore_missing=ignore_missing)


def counts_key(cells: Cells, modality: str) -> str:
    """Where the raw counts of a modality are: X, else layers/counts, else raw."""
    for key in ("X", "layers/counts", "raw/X"):
        if not cells.has(key) or (key == "raw/X" and not _raw_fits(cells)):
            continue
        if units_of(cells, key, modality) in ("counts", "binary"):
            return key
    raise DataError(
        f"has no counts of {modality} (X is {units_of(cells, 'X', modality)})",
        fix="scgx normalize --method counts restores them where it can",
        file=cells.name,
    )


def _raw_fits(cells: Cells) -> bool:
    return "raw/var" in cells.h5 and cells.matrix("raw/X").shape == cells.shape


def _sample(cells: Cells, key: str, columns: np.ndarray) -> Iterator[np.ndarray]:
    """Values of up to 512 rows spread over the file, a row block at a time."""
    matrix = cells.matrix(key)
    n = matrix.shape[0]
    starts = range(0, n, max(1, n // 8)) if n > _ROWS else [0]
    for start in starts:
        stop = min(n, start + (64 if n > _ROWS else _ROWS))
        if matrix.kind == "csc" and n > _ROWS:
            stop = min(n, _ROWS)
        yield matrix.values(start, stop, columns)
        if matrix.kind == "csc":
            return


def detect(samples: Iterator[np.ndarray], *, ignore_missing: bool = False) -> str:
    """The unit from values; rows are not needed, whole numbers and their logarithms tell.

    NaN makes it unknown, unless missing values are to be ignored.
    """
    parts = [part.astype(np.float64) for part in samples]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[values != 0]
    if ignore_missing:
        values = values[~np.isnan(values)]
    if not len(values):
        return "counts"
    if not np.isfinite(values).all():
        return "unknown"
    if (values < 0).any():
        return "scaled"
    if (values == np.rint(values)).all():
        return "binary" if values.max() == 1 else "counts"
    if values.max() > _MAX_LOG:
        return "scaled-counts"
    linear = np.expm1(values)
    if (np.abs(linear - np.rint(linear)) < 1e-3 * np.maximum(1, linear) + 1e-4).mean() > 0.999:
        return "log1p-counts"
    return "log1p-cp10k"
