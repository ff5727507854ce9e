"""Which peaks may rule which genes: all pairs that lie near each other, and how near.

A gene is its body and a stretch upstream of its start, where promoters are; a peak that overlaps it has
distance 0. A peak is assigned to the gene at the least distance, and of equals to the one that comes
first along the chromosome, as region counters do. A pair never crosses a chromosome's boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgx.h5ad.features import Features
from scgx.learn.windows import landmarks

UPSTREAM = 2_000
PROMOTER = 1_000  # bases around the start that count as promoter


@dataclass(frozen=True)
class Nearby:
    """n pairs, sorted by gene, then by place: positions among genes and peaks, int64 (n,).

    `from_start` is the distance of the peak's middle to the start of the gene, negative upstream;
    `from_body` the gap to the gene with its stretch upstream, 0 where they overlap; `place` is
    promoter, upstream, body or distal; `assigned` marks the one gene of each peak.
    """

    gene: np.ndarray
    peak: np.ndarray
    from_start: np.ndarray
    from_body: np.ndarray
    place: np.ndarray
    assigned: np.ndarray

    def __len__(self) -> int:
        return len(self.gene)


def nearby(peaks: Features, genes: Features, *, reach: int, upstream: int = UPSTREAM) -> Nearby:
    """Every peak within `reach` bases of a gene."""
    left, right = _stretched(genes, upstream)
    found_genes, found_peaks = [], []
    located = peaks.located
    for name in sorted({str(c) for c in genes.chrom[genes.located]}):
        here = np.flatnonzero(genes.located & (genes.chrom == name))
        there = np.flatnonzero(located & (peaks.chrom == name))
        if not len(there):
            continue
        there = there[np.lexsort((peaks.names[there].astype(str), peaks.start[there]))]
        start, end = peaks.start[there], peaks.end[there]
        longest = int((end - start).max())
        low = np.searchsorted(start, left[here] - reach - longest)
        high = np.searchsorted(start, right[here] + reach)
        counts = np.maximum(high - low, 0)
        offset = np.repeat(np.cumsum(counts) - counts, counts)
        found_genes.append(np.repeat(here, counts))
        found_peaks.append(there[np.repeat(low, counts) + np.arange(counts.sum()) - offset])
    gene = np.concatenate([*found_genes, np.zeros(0, np.int64)]).astype(np.int64)
    peak = np.concatenate([*found_peaks, np.zeros(0, np.int64)]).astype(np.int64)
    gap = np.maximum(left[gene] - peaks.end[peak] + 1, peaks.start[peak] - right[gene] + 1)
    from_body = np.maximum(gap, 0)
    kept = from_body <= reach
    gene, peak, from_body = gene[kept], peak[kept], from_body[kept]
    order = np.lexsort((peaks.names[peak].astype(str), peaks.start[peak], gene))
    gene, peak, from_body = gene[order], peak[order], from_body[order]
    from_start = _from_start(peaks, genes, gene, peak)
    place = _place(genes, peaks, gene, peak, from_start, from_body)
    return Nearby(gene, peak, from_start, from_body, place, _assigned(genes, gene, peak, from_body))


def _stretched(genes: Features, upstream: int) -> tuple[np.ndarray, np.ndarray]:
    """Genes with a stretch upstream: first base and the one behind the last, int64 (n,)."""
    minus = np.array([s == "-" for s in genes.strand], dtype=bool)
    known = np.array([s is not None for s in genes.strand], dtype=bool)
    left = genes.start - np.where(known & ~minus, upstream, 0)
    right = genes.end + np.where(minus, upstream, 0)
    return np.maximum(left, 0), right


def _from_start(peaks: Features, genes: Features, gene: np.ndarray, peak: np.ndarray) -> np.ndarray:
    distance = landmarks(peaks)[peak] - landmarks(genes)[gene]
    minus = np.array([s == "-" for s in genes.strand], dtype=bool)[gene]
    return np.where(minus, -distance, distance)


def _place(
    genes: Features,
    peaks: Features,
    gene: np.ndarray,
    peak: np.ndarray,
    from_start: np.ndarray,
    from_body: np.ndarray,
) -> np.ndarray:
    inside = (peaks.start[peak] < genes.end[gene]) & (peaks.end[peak] > genes.start[gene])
    place = np.full(len(gene), "distal", dtype=object)
    place[from_body == 0] = "upstream"
    place[inside] = "body"
    place[np.abs(from_start) <= PROMOTER] = "promoter"
    return place


def _assigned(
    genes: Features, gene: np.ndarray, peak: np.ndarray, from_body: np.ndarray
) -> np.ndarray:
    """The pair of each peak with the least distance; of equals the gene that comes first."""
    order = np.lexsort((genes.end[gene], genes.start[gene], from_body, peak))
    first = np.concatenate([[True], np.diff(peak[order]) != 0]) if len(peak) else np.zeros(0, bool)
    assigned = np.zeros(len(peak), dtype=bool)
    assigned[order[first]] = True
    return assigned
