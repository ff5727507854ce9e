"""What lies near each gene: input features in genome order, with their distance to its start.

A distance is signed in the direction of transcription: negative upstream of the transcription
start, positive downstream, 0 where a peak covers it. A window never crosses a chromosome's
boundary, because features are looked up per chromosome. Genes without a place, and genes on
chromosomes without input features, have an empty window.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from scgx.h5ad.features import Features


@dataclass(frozen=True)
class Windows:
    """Pairs (gene, feature), sorted by gene, then by place in the genome, then by name.

    `gene` and `feature` are positions among the outputs and inputs, `distance` is in base pairs;
    all int64 (n_pairs,).
    """

    gene: np.ndarray
    feature: np.ndarray
    distance: np.ndarray


def landmarks(features: Features) -> np.ndarray:
    """The one position (bp, int64) of each feature: a gene's start, a peak's middle; -1 unknown.

    A gene without `tss` starts at `start`, on the minus strand at the last base of `end`.
    """
    if features.modality == "atac":
        place = (features.start + features.end) // 2
    else:
        minus = np.array([s == "-" for s in features.strand], dtype=bool)
        edge = np.where(minus, features.end - 1, features.start)
        place = np.where(features.tss >= 0, features.tss, edge)
    return np.where(features.located, place, -1).astype(np.int64)


def genome_order(features: Features) -> np.ndarray:
    """Positions of the located features by chromosome, place, end and name, int64.

    Names break ties, so that the order of columns in a file does not matter.
    """
    located = np.flatnonzero(features.located)
    chrom = features.chrom[located].astype(str)
    names = features.names[located].astype(str)
    place = landmarks(features)[located]
    return located[np.lexsort((names, features.end[located], place, chrom))]


def near(inputs: Features, outputs: Features, *, reach: int) -> Windows:
    """Every input feature within `reach` bp of a gene's start, on its chromosome."""
    order = genome_order(inputs)
    chrom, place = inputs.chrom[order].astype(str), landmarks(inputs)[order]
    starts = landmarks(outputs)
    genes, features = [], []
    for name in np.unique(chrom):
        first, last = np.searchsorted(chrom, name), np.searchsorted(chrom, name, side="right")
        here = np.flatnonzero(outputs.located & (outputs.chrom == name))
        low = first + np.searchsorted(place[first:last], starts[here] - reach)
        high = first + np.searchsorted(place[first:last], starts[here] + reach, side="right")
        counts = high - low
        offset = np.repeat(np.cumsum(counts) - counts, counts)
        genes.append(np.repeat(here, counts))
        features.append(order[np.repeat(low, counts) + np.arange(counts.sum()) - offset])
    gene = np.concatenate([*genes, np.empty(0, np.int64)]).astype(np.int64)
    feature = np.concatenate([*features, np.empty(0, np.int64)]).astype(np.int64)
    stable = np.argsort(gene, kind="stable")
    gene, feature = gene[stable], feature[stable]
    return Windows(gene, feature, _signed(inputs, outputs, gene, feature))


def _signed(
    inputs: Features, outputs: Features, gene: np.ndarray, feature: np.ndarray
) -> np.ndarray:
    start = landmarks(outputs)[gene]
    distance = landmarks(inputs)[feature] - start
    if inputs.modality == "atac":
        covers = (inputs.start[feature] <= start) & (start < inputs.end[feature])
        distance = np.where(covers, 0, distance)
    minus = np.array([s == "-" for s in outputs.strand], dtype=bool)
    return np.where(minus[gene], -distance, distance)


def edges(reach: int, scales: int) -> np.ndarray:
    """Borders (bp, float64, 2 x scales) of distance bins: narrow at the start, wider outwards.

    The widths grow geometrically from 1 kb to `reach`, the same on both sides.
    """
    outward = np.geomspace(min(1000, reach), reach, scales)
    return np.concatenate([-outward[::-1], outward])


def basis(windows: Windows, borders: np.ndarray, shape: tuple[int, int]) -> sp.csr_array:
    """Which inputs fall into which distance bin of which gene: CSR (n_in, n_out x n_bins) of ones.

    `x @ basis` counts, for every cell, what is open in each bin of each gene's window, without ever
    making a table of cells x genes x peaks. Column `gene x n_bins + bin`; `shape` is (n_in, n_out).
    """
    bins = len(borders) - 1
    bin_ = np.clip(np.searchsorted(borders, windows.distance, side="right") - 1, 0, bins - 1)
    column = windows.gene * bins + bin_
    ones = np.ones(len(column), np.float32)
    return sp.csr_array((ones, (windows.feature, column)), shape=(shape[0], shape[1] * bins))


@dataclass(frozen=True)
class Gathered:
    """The windows that are not empty, of some cells: cell and gene int64 (p,), values (p, bins)."""

    cell: np.ndarray
    gene: np.ndarray
    values: np.ndarray


def gather(x: sp.csr_array, what: sp.csr_array, bins: int) -> Gathered:
    """log(1 + sum) of x (n, n_in) in each distance bin, for windows in which anything is open.

    `what` is a `basis`. Chromatin is sparse, so that most windows of most cells are empty and need
    no work; for dense inputs every window comes out.
    """
    product = sp.csr_array(x @ what)
    product.sort_indices()
    n_out = what.shape[1] // bins
    cell = np.repeat(np.arange(x.shape[0]), np.diff(product.indptr))
    key = cell * n_out + product.indices // bins
    new = np.diff(key, prepend=-1) != 0
    values = np.zeros((int(new.sum()), bins), np.float32)
    values[np.cumsum(new) - 1, product.indices % bins] = np.log1p(product.data)
    return Gathered(key[new] // n_out, key[new] % n_out, values)
