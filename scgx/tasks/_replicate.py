"""How well one half of the reads predicts the other: a ceiling, and a pessimistic one.

A cell is measured once, so its replicate is made by dealing its counts to two halves at random.
Each half is normalised on its own and one is scored against the other. Both have half the depth,
so a model that averages over cells can score above it, and does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.cells import normalize
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.measured import measured_of
from scgx.h5ad.names import hash_names
from scgx.h5ad.units import counts_key, units_of
from scgx.metrics._panel import Design
from scgx.tasks._conversion import Reading, Values, as_counts, from_counts
from scgx.tasks._evaluate import Truth, evaluate, width_for
from scgx.tasks._pairing import Pairing
from scgx.tasks._rows import Array, FileRows, Held
from scgx.tasks._scores import Spread

SEEDS = 5
NO_COUNTS = "no whole counts in the truth: no replicate ceiling"
ONLY_ONES = "the truth holds only 0 and 1, which cannot be halved: no replicate ceiling"
_CELLS = 5_000
_ENTRIES = 20_000_000


def replicate(
    truth: Cells,
    pairing: Pairing,
    read: Reading,
    design: Design,
    metrics: Sequence[str],
    *,
    seed: int,
) -> tuple[dict[str, Spread], str]:
    """Each metric's mean and deviation over five thinnings; or nothing, and why.

    Values of 0 and 1 alone are no counts of reads: a 1 falls to one half, so that the halves would
    contradict each other wherever the cells agree.
    """
    how = from_counts(read.units)
    try:
        counts = counts_of(truth, counts_key(truth, pairing.modality), pairing)
    except DataError:
        if units_of(truth, "X", pairing.modality) != "log1p-counts":
            return {}, NO_COUNTS
        counts = counts_of(truth, "X", pairing, normalize.counts_from_log1p)
    if how is None or counts is None:
        return {}, NO_COUNTS
    if counts.matrix.data.max() <= 1:
        return {}, ONLY_ONES
    if read.units == "log1p-cp10k" and not read.depth:
        counts = counts._replace(scale=stored_scale(truth, read.key, counts, pairing))
    some = counts.chosen
    inside = replace(
        design, parts=np.zeros(len(some), dtype=np.intp), weights=np.zeros((0, 1)), rival=None,
        types=None if design.types is None else design.types[some],
    )  # fmt: skip
    width = width_for(len(some), design.n_features, inside, memory=1 << 30)
    known = FileRows(
        truth, read.key, pairing.rows[some], pairing.columns, measured=measured_of(truth)
    ).known_in()
    found: dict[str, list[float]] = {}
    for one, other in halves(counts, how, seed=seed):
        part = Truth(one, len(some), design.n_features, width, known)
        for name, result in evaluate(part, other, inside, metrics).items():
            if result.value is not None:
                found.setdefault(name, []).append(result.value)
    return {
        name: Spread(float(np.mean(values)), float(np.std(values, ddof=1)))
        for name, values in found.items()
        if len(values) == SEEDS
    }, ""


class Counts(NamedTuple):
    """Counts of some scored cells: CSR over the whole modality, and their recorded totals.

    `scale`: what a cell is divided by, per its total. `panel`: features measured in each cell.
    """

    matrix: sparse.csr_array
    totals: Array
    scored: Array
    chosen: Array
    scale: Array
    panel: Array


def counts_of(
    truth: Cells, key: str, pairing: Pairing, linear: Callable[[Values], Values] = as_counts
) -> Counts | None:
    """Counts of up to 5,000 scored cells (by hash of the name); None where they are not whole.

    `chosen` says which of the scored cells are held.
    """
    rows, columns, modality = pairing.rows, pairing.columns, pairing.modality
    everything = columns_of(truth, modality)
    order = everything[np.argsort(truth.var_names[everything].astype(str), kind="stable")]
    limit = min(_CELLS, max(100, _ENTRIES // max(1, _per_row(truth, key))))
    by_hash = np.argsort(hash_names(truth.obs_names[rows]), kind="stable")
    chosen = np.sort(by_hash[:limit])
    ordered = np.argsort(rows[chosen], kind="stable")
    wanted = rows[chosen][ordered]
    measured = measured_of(truth)
    parts = []
    for block in truth.blocks(key, rows=wanted, columns=order):
        here = wanted[block.start : block.start + block.X.shape[0]]
        values = block.X if measured is None else measured.clear(block.X, here, order)
        parts.append(sparse.csr_array(linear(values)))
    matrix = sparse.vstack(parts, format="csr")[np.argsort(ordered)]
    matrix.eliminate_zeros()
    matrix.sort_indices()
    if len(matrix.data) == 0 or (matrix.data != np.rint(matrix.data)).any():
        return None
    column = f"total_counts_{modality}"
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    if column in truth.obs:
        recorded = truth.obs.numbers(column)[rows[chosen]]
        totals = np.where(np.isfinite(recorded), np.maximum(recorded, totals), totals)
    place = {int(column): i for i, column in enumerate(order)}
    scored = np.array([place[int(column)] for column in columns])
    panel = np.full(len(chosen), len(order))
    if measured is not None:
        panel = measured.panel(rows[chosen], order)
    return Counts(matrix, totals, scored, chosen, np.ones(len(chosen)), panel)


def stored_scale(truth: Cells, key: str, counts: Counts, pairing: Pairing) -> Array:
    """1 where the stored values are CP10k of these counts; else what their own size factors were,
    for totals before a choice of genes, or factors of scran, lie on another scale.
    """
    rows = pairing.rows[counts.chosen]
    ordered = np.argsort(rows, kind="stable")
    columns = columns_of(truth, pairing.modality)
    linear = np.zeros(len(rows))
    for block in truth.blocks(key, rows=rows[ordered], columns=columns):
        sums = np.asarray(np.expm1(sparse.csr_array(block.X)).sum(axis=1)).ravel()
        linear[ordered[block.start : block.start + len(sums)]] = sums
    divisor = 10_000 * np.asarray(counts.matrix.sum(axis=1)).ravel()
    known = (linear > 0) & (counts.totals > 0)
    return np.divide(divisor, linear * counts.totals, out=np.ones(len(rows)), where=known)


def halves(counts: Counts, reading: Reading, *, seed: int) -> Iterator[tuple[Held, Held]]:
    """Five pairs of halves in the scored units, for the scored features."""
    whole = counts.matrix
    data = whole.data.astype(np.int64)
    rest = np.rint(counts.totals - np.asarray(whole.sum(axis=1)).ravel()).astype(np.int64)
    for draw in range(SEEDS):
        rng = np.random.default_rng([seed, draw])
        first = rng.binomial(data, 0.5)
        unseen = rng.binomial(np.maximum(rest, 0), 0.5)
        yield (
            _half(counts, first, unseen, reading),
            _half(counts, data - first, np.maximum(rest, 0) - unseen, reading),
        )


def _half(counts: Counts, data: Array, unseen: Array, reading: Reading) -> Held:
    whole = counts.matrix
    half = sparse.csr_array((data, whole.indices, whole.indptr), shape=whole.shape)
    totals = (np.asarray(half.sum(axis=1)).ravel() + unseen) * counts.scale
    if reading.centred:
        totals = normalize.clr_centre(half, counts.panel)
    made = sparse.csr_array(reading.convert(half, totals.astype(np.float64)))
    return Held(sparse.csc_array(made)[:, counts.scored])


def _per_row(truth: Cells, key: str) -> int:
    return int(truth.matrix(key).nnz // max(1, truth.n_obs))
