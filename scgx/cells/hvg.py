"""Features that vary more than their mean explains: Seurat v3, and Pearson residuals.

Both take counts, look at them twice, and rank the features of each batch; features are then ordered
by the median of their ranks, as scanpy 1.11 does (`highly_variable_genes`, flavor `seurat_v3`, and
`experimental.pp.highly_variable_genes`, flavor `pearson_residuals`), with the same answer. Medians that
tie at the edge go to the feature that stands first, as there; scores that tie go by name, where scanpy
leaves it to an unstable sort.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.cells.loess import loess
from scgx.cells.moments import Panel, add_at, add_up, mean_and_variance, values
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.h5ad.sum_kernels import Sums

Array: TypeAlias = np.ndarray

FLAVORS = ("seurat_v3", "pearson")
THETA = 100.0  # overdispersion of the negative binomial (Lause, Berens, Kobak 2021)
_COARSE, _FINE = 2.0**13, 2.0**46


class Chosen(NamedTuple):
    """What was found of the m features of a panel: columns for var, `highly_variable` among them."""

    columns: Mapping[str, Array]

    @property
    def marked(self) -> Array:
        """Which features were chosen, bool (m,)."""
        return self.columns["highly_variable"]


def choose(cells: Cells, view: Panel, flavor: str, n: int, memory: int) -> Chosen:
    """The `n` most variable features of a panel."""
    found = add_up(cells, view, memory)
    score = (_seurat_v3 if flavor == "seurat_v3" else _pearson)(cells, view, found, memory)
    names = cells.var_names[view.source.columns]
    ranks = _ranks(score, names)
    inside = ranks < n
    batches = inside.sum(axis=0)
    rank = _median(np.where(inside, ranks, np.nan))
    keys = [rank, -batches] if flavor == "seurat_v3" else [-batches, rank]
    order = np.lexsort((keys[1], keys[0]))  # stable; NaN comes last
    marked = np.zeros(len(names), dtype=bool)
    marked[order[:n]] = True
    marked &= (view.cells > 0).any(axis=0)
    mean, variance = mean_and_variance(
        found.values.sum(axis=0), found.squares.sum(axis=0), view.cells.sum(axis=0)
    )
    columns = {
        "highly_variable": marked, "highly_variable_rank": rank, "means": mean,
        "variances": variance, _SCORE[flavor]: _mean(score),
    }  # fmt: skip
    if len(view.batches) > 1:
        columns["highly_variable_nbatches"] = batches.astype(np.int64)
        if flavor == "pearson":
            columns["highly_variable_intersection"] = batches == len(view.batches)
    return Chosen(columns)


_SCORE = {"seurat_v3": "variances_norm", "pearson": "residual_variances"}


def _ranks(score: Array, names: Array) -> Array:
    """Places of the features in each batch (B, m), 0 the most variable; NaN where not measured."""
    ranks = np.full(score.shape, np.nan)
    alphabetic = np.argsort(np.argsort(names.astype(str), kind="stable"), kind="stable")
    for row, place in zip(score, ranks, strict=True):
        known = np.flatnonzero(~np.isnan(row))
        order = known[np.lexsort((alphabetic[known], -row[known]))]
        place[order] = np.arange(len(order))
    return ranks


def _median(ranks: Array) -> Array:
    """The median over batches of what is no NaN, (m,)."""
    ordered = np.sort(ranks, axis=0)  # NaN last
    count = (~np.isnan(ranks)).sum(axis=0)
    column = np.arange(ranks.shape[1])
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ranks) - 1)
    return (ordered[low, column] + ordered[high, column]) / 2


def _mean(score: Array) -> Array:
    """The mean over the batches that measured a feature; NaN where none did."""
    known = ~np.isnan(score)
    with np.errstate(invalid="ignore"):
        return np.where(known, score, 0).sum(axis=0) / known.sum(axis=0)


def _seurat_v3(cells: Cells, view: Panel, found: Sums, memory: int) -> Array:
    """Variance of the standardised counts, cut off at the square root of the number of cells; (B, m).

    Stuart et al. 2019: the standard deviation expected of a mean is a local quadratic fit of
    log10 variance on log10 mean.
    """
    n = view.cells.astype(np.float64)
    mean, variance = mean_and_variance(found.values, found.squares, n)
    deviation = np.ones(view.shape)
    for i, name in enumerate(view.batches):
        varied = variance[i] > 0
        try:
            trend = loess(np.log10(mean[i, varied]), np.log10(variance[i, varied]))
        except DataError as error:
            what = f"{error.what}{f' in {name!r}' if name else ''}"
            raise DataError(what, fix="use --flavor pearson", file=cells.name) from None
        deviation[i, varied] = np.sqrt(10**trend)
    limit = deviation * np.sqrt(n) + mean
    cut = add_up(cells, view, memory, limit=limit)
    most = np.where(cut.above > 0, limit, 0.0)
    sums, squares = cut.values + cut.above * most, cut.squares + cut.above * most**2
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (n * mean**2 + squares - 2 * sums * mean) / ((n - 1) * deviation**2)
    return np.where(n < 2, np.nan, score)


def _pearson(cells: Cells, view: Panel, found: Sums, memory: int) -> Array:
    """Variance of the residuals of a negative binomial without further terms, clipped; (B, m).

    All batches are clipped at the square root of the number of cells of the first, as scanpy does.
    Zeros are worked out once for all cells of equal totals, stored values one by one.
    """
    n = view.cells
    clip = float(np.sqrt(view.sizes[0].sum()))
    share = _shares(view, found)
    sums, squares = _of_zeros(view, found, share, clip)
    exact = np.zeros((4, n.size))
    for cell, batch, feature, value in values(cells, view, memory):
        flat = batch * view.shape[1] + feature
        expected = share.ravel()[flat] * found.totals[cell]
        here, zero = _residual(value, expected, clip), _residual(0.0, expected, clip)
        for k, change in enumerate((here - zero, here**2 - zero**2)):
            coarse = np.rint(change * _COARSE) / _COARSE  # sums of either part are exact, and so
            fine = np.rint((change - coarse) * _FINE) / _FINE  # the same in any order
            add_at(exact[2 * k], flat, coarse)
            add_at(exact[2 * k + 1], flat, fine)
    sums += (exact[0] + exact[1]).reshape(n.shape)
    squares += (exact[2] + exact[3]).reshape(n.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = squares / n - (sums / n) ** 2
    return np.where(n < 2, np.nan, np.where(found.values > 0, score, 0.0))


def _shares(view: Panel, found: Sums) -> Array:
    """The share of each feature in all that was counted in the cells that measured it, (B, m)."""
    used = view.batch >= 0
    flat = view.batch[used] * view.mask.shape[1] + view.dataset[used]
    counted = np.bincount(flat, weights=found.totals[used], minlength=view.sizes.size)
    total = counted.reshape(view.sizes.shape) @ view.mask.T.astype(np.float64)
    return np.divide(found.values, total, out=np.zeros(view.shape), where=total > 0)


def _residual(value: Array | float, expected: Array, clip: float) -> Array:
    """(x - mu) / sqrt(mu + mu^2 / theta) within the clip; 0 where nothing is expected."""
    spread = np.sqrt(expected + expected * expected / THETA)
    residual = np.divide(value - expected, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.clip(residual, -clip, clip, out=residual)


def _of_zeros(view: Panel, found: Sums, share: Array, clip: float) -> tuple[Array, Array]:
    """Sums of the residuals, and of their squares, if every count were zero, (B, m)."""
    sums, squares = np.zeros(view.shape), np.zeros(view.shape)
    for i in range(view.shape[0]):
        for dataset in range(view.mask.shape[1]):
            here = (view.batch == i) & (view.dataset == dataset)
            totals, times = np.unique(found.totals[here], return_counts=True)
            columns = np.flatnonzero(view.mask[:, dataset])
            height = max(1, (1 << 20) // max(1, len(columns)))
            for start in range(0, len(totals), height):
                part = slice(start, start + height)
                zero = _residual(0.0, np.outer(totals[part], share[i, columns]), clip)
                sums[i, columns] += times[part] @ zero
                squares[i, columns] += times[part] @ (zero * zero)
    return sums, squares


def marked(var: Frame, chosen: Chosen, columns: Array) -> Frame:
    """var with what was found of the features `columns`; other features keep what they had."""
    table = var
    for name, found in chosen.columns.items():
        kind = found.dtype.kind
        whole = np.zeros(len(var), found.dtype) if kind != "f" else np.full(len(var), np.nan)
        old = var[name] if name in var and len(columns) < len(var) else None
        if isinstance(old, np.ndarray) and (
            old.dtype.kind == "b" if kind == "b" else old.dtype.kind in "iuf"
        ):
            whole = old.astype(found.dtype)
        whole[columns] = found
        table = table.with_column(name, whole)
    return table
