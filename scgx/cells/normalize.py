"""From one unit to another, on a block of cells: counts, log1p CP10k, TF-IDF, presence, CLR.

Every function takes a CSR array or a dense array of n cells x m features and gives back the same
kind in float32. Values are worked out in float64, one by one, so that storage, block size and the
order of cells or features change no bit of the answer; stored zeros never reach the output. Only
TF-IDF is fitted, and what it learns (`document_frequency`, `idf`) is asked of the training rows by
the caller.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from scgx.errors import DataError

Array: TypeAlias = np.ndarray
Matrix: TypeAlias = sp.csr_array | np.ndarray

SCALE = 1e4  # CP10k: every cell is brought to ten thousand
_ABSOLUTE, _RELATIVE = 1e-3, 2e-6  # how far expm1 of a float32 or a seven-digit text may be off


def row_totals(block: Matrix) -> Array:
    """The sum of every row, float64 (n,), added from left to right; exact for counts below 2^53."""
    if isinstance(block, np.ndarray):
        return np.ascontiguousarray(block.T, dtype=np.float64).sum(axis=0)
    return np.bincount(_rows(block), weights=block.data, minlength=block.shape[0])


def log1p_cp10k(block: Matrix, totals: Array | None = None) -> Matrix:
    """ln(1 + 10,000 x / total), float32; `totals` (n,) stands in for the row sums.

    Linear values in any scale (CPM, TPM) give the same as the counts they were made from. A cell
    without counts stays zero. Raises DataError on negative or missing values, and where a cell has
    values but no total.
    """
    _check_non_negative(block)
    sums = row_totals(block)
    totals = sums if totals is None else np.asarray(totals, dtype=np.float64)
    bad = (sums > 0) & ~(np.isfinite(totals) & (totals > 0))
    if bad.any():
        raise DataError(
            f"{int(bad.sum()):,} cells have values and a total that is zero, negative or missing",
            fix="name the column of positive totals with --size-factors",
        )
    size = np.where(sums > 0, totals, 1.0) / SCALE
    return _each(block, lambda values, rows, _columns: np.log1p(values / size[rows]))


def document_frequency(block: Matrix) -> Array:
    """In how many cells each feature is present, int64 (m,); add over blocks of training rows."""
    if isinstance(block, np.ndarray):
        return np.count_nonzero(block, axis=0).astype(np.int64)
    present = block.indices[block.data != 0]
    return np.bincount(present, minlength=block.shape[1]).astype(np.int64)


def idf(frequency: Array, n_cells: int | Array) -> Array:
    """n / document frequency, float64 (m,); 0 for a feature that no training cell has.

    `n_cells` may differ by feature (m,), where not every cell was asked for every feature.
    """
    frequency = np.asarray(frequency, dtype=np.float64)
    weights = np.zeros_like(frequency)
    n = np.asarray(n_cells, dtype=np.float64)
    np.divide(n, frequency, out=weights, where=frequency > 0)
    return weights


def tfidf(block: Matrix, weights: Array, totals: Array | None = None) -> Matrix:
    """ln(1 + 10,000 presence / total x idf), float32 (Stuart 2019, on presence).

    Counts and presence give the same answer, because values are taken as present or not. `weights`
    (m,) come from `idf`; `totals` (n,) stand in for the number of present features per cell.
    """
    _check_non_negative(block)
    present = _presence_totals(block)
    depth = present if totals is None else np.asarray(totals, dtype=np.float64)
    size = np.where((present > 0) & (depth > 0), depth, 1.0) / SCALE
    weights = np.asarray(weights, dtype=np.float64)
    return _each(block, lambda _values, rows, columns: np.log1p(weights[columns] / size[rows]))


def binary(block: Matrix) -> Matrix:
    """1 where a value is above zero, float32; any non-negative unit will do."""
    _check_non_negative(block)
    return _each(block, lambda values, _rows, _columns: np.ones_like(values))


def clr(block: Matrix, n_features: int | Array | None = None) -> Matrix:
    """Centred log ratio within each cell, float32: ln(1 + x / exp(mean ln(1 + x))).

    The form of Seurat and muon, which keeps zeros at zero. The mean runs over `n_features` (all
    columns, unless only some of them are antibodies), of which a cell may have its own number (n,).
    """
    return clr_around(block, clr_centre(block, n_features))


def clr_centre(block: Matrix, n_features: int | Array | None = None) -> Array:
    """The mean of ln(1 + x) within each cell, float64 (n,), over `n_features` as `clr` has them."""
    _check_non_negative(block)
    logged = row_totals(_each(block, lambda values, _rows, _columns: np.log1p(values)))
    count = block.shape[1] if n_features is None else n_features
    return logged / np.maximum(np.asarray(count, dtype=np.float64), 1)


def clr_around(block: Matrix, centre: Array) -> Matrix:
    """`clr` of some of the antibodies, whose centres (n,) `clr_centre` took from all of them."""
    _check_non_negative(block)
    size = np.exp(centre)
    return _each(block, lambda values, rows, _columns: np.log1p(values / size[rows]))


def linear_from_log1p(block: Matrix) -> Matrix:
    """e^x - 1, float32: the linear values behind logged ones."""
    _check_non_negative(block)
    return _each(block, lambda values, _rows, _columns: np.expm1(values))


def counts_from_log1p(block: Matrix) -> Matrix:
    """The whole numbers behind ln(1 + count), float32; DataError where they are not whole."""
    _check_non_negative(block)
    off = _nonzero(block)
    off = np.expm1(off.astype(np.float64))
    wrong = int(np.count_nonzero(np.abs(off - np.rint(off)) > _ABSOLUTE + _RELATIVE * off))
    if wrong:
        raise DataError(
            f"{wrong:,} of {off.size:,} values are no logarithm of one plus a whole number",
            fix="counts cannot be restored from these values; start from the raw file",
        )
    return _each(block, lambda values, _rows, _columns: np.rint(np.expm1(values)))


def are_counts(block: Matrix) -> bool:
    """True when every value is a finite whole number of at least zero."""
    values = _nonzero(block)
    return bool(np.all(np.isfinite(values)) and np.all(values >= 0) and _whole(values))


def not_finite(block: Matrix) -> int:
    """How many values are NaN or infinite."""
    values = block if isinstance(block, np.ndarray) else block.data
    if values.dtype.kind != "f":
        return 0
    return int(values.size - np.count_nonzero(np.isfinite(values)))


def without_missing(block: Matrix) -> Matrix:
    """A copy with zeros for NaN."""
    if isinstance(block, np.ndarray):
        return np.where(np.isnan(block), 0, block).astype(block.dtype)
    block = block.copy()
    block.data[np.isnan(block.data)] = 0
    return block


def only(block: Matrix, columns: Array, convert: Callable[[Matrix], Matrix]) -> Matrix:
    """`convert` applied to the columns of a bool mask (m,); the others stay as they are."""
    return splice(block, convert(part(block, columns)), columns)


def part(block: Matrix, columns: Array) -> Matrix:
    """The columns of a bool mask (m,), in the full width, with zeros elsewhere."""
    if columns.all():
        return block
    if isinstance(block, np.ndarray):
        return np.where(columns, block, np.zeros((), block.dtype))
    return _some(block, columns[block.indices])


def splice(block: Matrix, other: Matrix, columns: Array) -> Matrix:
    """The columns of a bool mask (m,) from `other` (n, m), the others from `block` (n, m)."""
    if columns.all():
        return other
    if isinstance(block, np.ndarray) or isinstance(other, np.ndarray):
        return np.where(columns, _dense(other), _dense(block))
    return part(block, ~columns) + part(other, columns)


def scaled_name(totals: Array) -> str:
    """In words what linear, scaled values are, from the row sums (n,) of cells."""
    totals = totals[totals > 0]
    if totals.size == 0:
        return "scaled values"
    level = float(np.median(totals))
    if np.all(np.abs(totals - level) < 1e-3 * level):
        name = {6: "CPM or TPM", 4: "CP10k, not logged"}.get(
            round(np.log10(level)), "scaled values"
        )
        return f"{name} (every cell sums to {level:,.0f})"
    return "scaled values (not whole, not logged)"


def _each(block: Matrix, change: Callable[[Array, Array, Array], Array]) -> Matrix:
    """`change(values, rows, columns)` on the non-zero values, in float64; the result in float32."""
    if isinstance(block, np.ndarray):
        rows, columns = np.nonzero(block)
        result = np.zeros(block.shape, dtype=np.float32)
        result[rows, columns] = change(block[rows, columns].astype(np.float64), rows, columns)
        return result
    stored = block.data != 0
    clean = block if stored.all() else _some(block, stored)
    data = change(clean.data.astype(np.float64), _rows(clean), clean.indices).astype(np.float32)
    result = sp.csr_array((data, clean.indices, clean.indptr), shape=clean.shape)
    if np.count_nonzero(data) < data.size:
        result = _some(result, data != 0)
    return result


def _rows(block: sp.csr_array) -> Array:
    """The row of every stored value."""
    return np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))


def _some(block: sp.csr_array, keep: Array) -> sp.csr_array:
    """The stored entries that a bool mask over `data` keeps."""
    before = np.concatenate([[0], np.cumsum(keep)]).astype(block.indptr.dtype)
    parts = (block.data[keep], block.indices[keep], before[block.indptr])
    return sp.csr_array(parts, shape=block.shape)


def _dense(block: Matrix) -> Array:
    return block if isinstance(block, np.ndarray) else block.toarray()


def _nonzero(block: Matrix) -> Array:
    values = block if isinstance(block, np.ndarray) else block.data
    return values[values != 0]


def _presence_totals(block: Matrix) -> Array:
    if isinstance(block, np.ndarray):
        return np.count_nonzero(block, axis=1).astype(np.float64)
    before = np.concatenate([[0], np.cumsum(block.data != 0)])
    return np.diff(before[block.indptr]).astype(np.float64)


def _whole(values: Array) -> bool:
    return values.dtype.kind in "iub" or bool(np.all(values == np.rint(values)))


def _check_non_negative(block: Matrix) -> None:
    """NaN, infinite and negative values are refused, with their number."""
    values = block if isinstance(block, np.ndarray) else block.data
    if missing := not_finite(block):
        raise DataError(
            f"{missing:,} values are missing or infinite", fix="remove those cells or features"
        )
    if values.size and values.min() < 0:
        negative = int(np.count_nonzero(values < 0))
        raise DataError(
            f"{negative:,} values are below zero, as in scaled data",
            fix="name a layer of counts with --layer",
        )
