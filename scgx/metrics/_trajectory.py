"""An order of cells, found again in an embedding (the trajectory conservation of scIB)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from scgx.metrics._diffusion import diffusion_map, fuzzy, pseudotime
from scgx.metrics._places import Array, Places, components

_VOTES = 3  # diffusion components that say which cell is extreme


def conserved(places: Places, order: Array) -> float:
    """(r of ranks of `order` and diffusion pseudotime + 1) / 2, mean over batches; 0 without root."""
    known = np.flatnonzero(np.isfinite(order))
    order, types = order[known], places.types[known]
    weights = fuzzy(places.near)[known][:, known]
    piece = components(weights)
    inside = np.flatnonzero(piece == np.bincount(piece).argmax())
    if len(inside) < 4:
        return 0.0
    values, vectors = diffusion_map(weights[inside][:, inside])
    root = _root(vectors, types[inside], order, types)
    if root is None:
        return 0.0
    found = np.zeros(len(order))
    found[inside] = pseudotime(values, vectors, root)
    batches = np.zeros(len(order), int) if places.batches is None else places.batches[known]
    r = [_spearman(order[batches == code], found[batches == code]) for code in np.unique(batches)]
    return float((np.mean(r) + 1) / 2)


def _root(vectors: Array, types: Array, order: Array, every: Array) -> int | None:
    """A cell of the type that is earliest on average, extreme in most of three components."""
    sums, counts = np.bincount(every, weights=order), np.bincount(every)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    able = np.flatnonzero(types == mean.argmin())
    if not len(able):
        return None
    votes = np.zeros(len(able))
    for k in range(min(_VOTES, vectors.shape[1])):
        mine = vectors[able, k]
        votes[mine.argmin() if mine.mean() < vectors[:, k].mean() else mine.argmax()] += 1
    return int(able[votes.argmax()])


def _spearman(x: Array, y: Array) -> float:
    """r of mid-ranks; 0 where one side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)
