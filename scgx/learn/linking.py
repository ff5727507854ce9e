"""Peak to gene links: does a peak open in the cells in which the gene is expressed?

Single cells are too sparse to say: so each of many training cells is averaged with those that are most
alike in expression (metacells, as in Cicero and ArchR), and values of peaks and genes are correlated
over these. Alike cells give the same r by chance in every pair of genome, therefore a pair is compared
with pairs of the same gene and as open peaks of other chromosomes, which cannot be linked in cis: how
many of their deviations it exceeds (z), and, over all pairs, the share of such null pairs that go as
high (q, a permutation false discovery rate; of positive links).

`around` is the same of all that is open near the peak (Gaussian weights): one peak is open in few
cells, and its neighbourhood tells more of whether the locus follows the gene, and less of which peak.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.features import Features
from scgx.learn.data import TrainingData
from scgx.learn.loadings import Loadings
from scgx.learn.nearby import Nearby
from scgx.learn.windows import landmarks
from scgx.progress import say

COMPONENTS = 30
MOST_METACELLS = 2_000
BINS = 10  # of how often peaks are open, at most; null peaks come from the same bin
FEWEST_IN_BIN = 100
PER_BIN = 200  # null peaks per bin, over all chromosomes
FEWEST_NULL = 20
FEWEST_OPEN = 10  # cells in which a peak is open, below which nothing is said of it
WIDE = 3  # standard deviations of the neighbourhood that count
COLUMNS = 2_000  # peaks at a time


class Knobs(NamedTuple):
    """`pool`: cells in a metacell (1: single cells); `locus`: standard deviation (bp) of the
    neighbourhood of a peak (0: none).
    """

    pool: int = 50
    locus: int = 10_000
    seed: int = 0


class Tested(NamedTuple):
    """Of each pair, float32 (n,): correlation, deviations from null pairs (0 where nothing can be
    said), and the false discovery rate of all pairs that go as high (1 there).
    """

    r: np.ndarray
    z: np.ndarray
    q: np.ndarray


class Linked(NamedTuple):
    """Pairs by the peak itself, and by its neighbourhood (None where none was asked for)."""

    peak: Tested
    around: Tested | None


class _Cells(NamedTuple):
    """Metacells: what is averaged CSR (metacells, cells), and expression, standardised (.., genes)."""

    pool: sparse.csr_array
    genes: np.ndarray


def correlate(data: TrainingData, rows: np.ndarray, pairs: Nearby, knobs: Knobs) -> Linked:
    """Links over `rows` of the data, whose inputs are peaks and whose outputs are genes."""
    if len(rows) < 3:
        raise DataError(f"{len(rows)} cells are too few to correlate", fix="more training rows")
    x, y = data.x(rows), data.y(rows)
    cells = _metacells(y, knobs)
    columns = sparse.csc_array(x)
    near = _neighbourhood(data.inputs, knobs.locus) if knobs.locus else None
    peak = _tested(columns, cells, pairs, data, knobs.seed)
    if near is None:
        return Linked(peak, None)
    return Linked(peak, _tested(sparse.csc_array(columns @ near), cells, pairs, data, knobs.seed))


def _tested(
    columns: sparse.csc_array, cells: _Cells, pairs: Nearby, data: TrainingData, seed: int
) -> Tested:
    null = _Null.of(data.inputs, columns, seed)
    r = _over(columns, cells, pairs)
    chance = _values(columns, cells, null.peaks).T @ cells.genes
    z, others = null.compare(pairs, data.outputs, r, chance)
    q, told = np.ones(len(pairs), np.float32), z != 0
    q[told] = discovery(z[told], others)
    return Tested(r, z, q)


def discovery(found: np.ndarray, null: np.ndarray) -> np.ndarray:
    """For each value the share of null values as high by the share of found ones as high, at most 1,
    and never less for a lower value: float32 (n,).
    """
    if not len(null):
        return np.ones(len(found), np.float32)
    order = np.argsort(-found, kind="stable")
    ordered = found[order]
    null = np.sort(null)
    above = (len(null) - np.searchsorted(null, ordered, side="left") + 1) / (len(null) + 1)
    mine = np.searchsorted(-ordered, -ordered, side="right") / max(len(found), 1)
    rate = np.minimum.accumulate(np.minimum(above / mine, 1)[::-1])[::-1]
    q = np.empty(len(found), np.float32)
    q[order] = rate
    return q


def _metacells(y: sparse.csr_array, knobs: Knobs) -> _Cells:
    """Cells averaged over those most alike in expression; of many cells, some are drawn."""
    n = y.shape[0]
    rng = np.random.default_rng(knobs.seed)
    chosen = np.sort(rng.choice(n, min(n, MOST_METACELLS), replace=False))
    pool = min(max(knobs.pool, 1), max(n // 4, 1))
    if pool < knobs.pool:
        say(f"metacells of {pool:,} cells, a quarter of the training cells")
    if pool == 1:
        whole = sparse.csr_array(
            (np.ones(n, np.float32), np.arange(n), np.arange(n + 1)), shape=(n, n)
        )
        return _Cells(whole, _standard(y.toarray()))
    loadings = Loadings.fit(y, rank=COMPONENTS, power=0.7, seed=knobs.seed)
    places = loadings.components(y)
    places /= np.maximum(np.sqrt((places**2).sum(axis=1, keepdims=True)), 1e-9)
    alike = np.empty((len(chosen), pool), np.int64)
    for start in range(0, len(chosen), 256):
        part = slice(start, start + 256)
        near = places[chosen[part]] @ places.T
        alike[part] = np.argpartition(-near, pool - 1, axis=1)[:, :pool]
    alike.sort(axis=1)
    indptr = np.arange(0, alike.size + 1, pool)
    share = np.full(alike.size, 1 / pool, np.float32)
    averaging = sparse.csr_array((share, alike.ravel(), indptr), shape=(len(chosen), n))
    return _Cells(averaging, _standard((averaging @ y).toarray()))


def _over(columns: sparse.csc_array, cells: _Cells, pairs: Nearby) -> np.ndarray:
    """Correlations of pairs, some peaks at a time."""
    r = np.zeros(len(pairs), np.float32)
    order = np.argsort(pairs.peak, kind="stable")
    for start in range(0, columns.shape[1], COLUMNS):
        stop = min(start + COLUMNS, columns.shape[1])
        low, high = np.searchsorted(pairs.peak[order], [start, stop])
        here = order[low:high]
        if not len(here):
            continue
        values = _values(columns, cells, np.arange(start, stop))
        r[here] = _products(values, cells.genes, pairs.peak[here] - start, pairs.gene[here])
    return r


def _values(columns: sparse.csc_array, cells: _Cells, peaks: np.ndarray) -> np.ndarray:
    """Standardised accessibility (metacells, peaks) float32."""
    return _standard((cells.pool @ sparse.csr_array(columns[:, peaks])).toarray())


def _products(
    values: np.ndarray, genes: np.ndarray, peak: np.ndarray, gene: np.ndarray
) -> np.ndarray:
    made = np.empty(len(peak), np.float32)
    for start in range(0, len(peak), 4_096):
        part = slice(start, start + 4_096)
        made[part] = (values[:, peak[part]] * genes[:, gene[part]]).sum(axis=0)
    return made


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns centred and brought to length 1; one that does not vary is 0."""
    values = values.astype(np.float32) - values.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.sqrt((values.astype(np.float64) ** 2).sum(axis=0))
    flat = length <= 1e-6
    return np.where(flat, 0, values / np.where(flat, 1, length)).astype(np.float32)


def _neighbourhood(peaks: Features, sd: int) -> sparse.csr_array:
    """Weights (peaks, peaks) of what is near a peak on its chromosome, itself twice."""
    middle = landmarks(peaks)
    rows, columns, weights = [], [], []
    for name in sorted({str(c) for c in peaks.chrom[peaks.located]}):
        here = np.flatnonzero(peaks.located & (peaks.chrom == name))
        here = here[np.argsort(middle[here], kind="stable")]
        place = middle[here]
        low = np.searchsorted(place, place - WIDE * sd)
        counts = np.searchsorted(place, place + WIDE * sd, side="right") - low
        offset = np.repeat(np.cumsum(counts) - counts, counts)
        other = np.repeat(low, counts) + np.arange(counts.sum()) - offset
        one = np.repeat(np.arange(len(here)), counts)
        gap = (place[one] - place[other]) / sd
        rows.append(here[other])
        columns.append(here[one])
        weights.append(np.exp(-(gap**2) / 2))
    n = len(peaks)
    made = (
        np.concatenate([*weights, np.zeros(0)]),
        (
            np.concatenate([*rows, np.zeros(0, np.int64)]),
            np.concatenate([*columns, np.zeros(0, np.int64)]),
        ),
    )
    return sparse.csr_array(
        sparse.csr_array(made, shape=(n, n)) + sparse.eye_array(n), dtype=np.float32
    )


class _Null(NamedTuple):
    """Peaks that stand for chance, their chromosomes and bins; the bin of every peak, -1 where it is
    open in too few cells.
    """

    peaks: np.ndarray  # (k,)
    chrom: np.ndarray  # (k,)
    bins: np.ndarray  # (n_peaks,)

    @classmethod
    def of(cls, peaks: Features, columns: sparse.csc_array, seed: int) -> _Null:
        """Up to 200 peaks of each bin of openness."""
        seen = np.asarray(columns.sum(axis=0)).ravel()
        enough = np.flatnonzero(np.diff(columns.indptr) >= FEWEST_OPEN)
        bins = np.full(len(seen), -1)
        rank = np.argsort(np.argsort(seen[enough], kind="stable"), kind="stable")
        n_bins = int(np.clip(len(enough) // FEWEST_IN_BIN, 1, BINS))
        bins[enough] = rank * n_bins // max(len(rank), 1)
        rng = np.random.default_rng([seed, 1])
        located = [np.flatnonzero((bins == bin_) & peaks.located) for bin_ in range(n_bins)]
        chosen = [
            np.sort(rng.choice(here, min(PER_BIN, len(here)), replace=False)) for here in located
        ]
        some = np.concatenate(chosen).astype(np.int64)
        return cls(some, peaks.chrom[some].astype(str), bins)

    def compare(
        self, pairs: Nearby, genes: Features, r: np.ndarray, chance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Deviations of pairs with r, 0 where there are too few null peaks, and those of null pairs;
        `chance` (k, genes) is r of the null peaks.
        """
        z, others = np.zeros(len(pairs), np.float32), []
        mine = self.bins[self.peaks]
        for name in sorted({str(c) for c in genes.chrom[pairs.gene]}):
            inside = np.flatnonzero(genes.chrom[pairs.gene] == name)
            for bin_ in np.unique(mine):
                here = inside[self.bins[pairs.peak[inside]] == bin_]
                null = chance[(self.chrom != name) & (mine == bin_)]
                if not len(here) or len(null) < FEWEST_NULL:
                    continue
                used = np.unique(pairs.gene[here])
                mean, sd = null[:, used].mean(axis=0), null[:, used].std(axis=0) + 1e-6
                at = np.searchsorted(used, pairs.gene[here])
                z[here] = (r[here] - mean[at]) / sd[at]
                others.append(((null[:, used] - mean) / sd).ravel())
        return z, np.concatenate([*others, np.zeros(0, np.float32)])
