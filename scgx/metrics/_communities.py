"""Clusters of a graph at many resolutions, and how well they agree with the types.

Louvain by scikit-network, the best of three starts by modularity: one start may end some hundredths of
NMI below. Modularity is that of the unweighted graph, as `scanpy.tl.louvain` has it by default.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sknetwork.clustering import Louvain, get_modularity

from scgx.metrics._places import Array, Design, Places

RESOLUTIONS = tuple(round(0.1 * i, 1) for i in range(1, 21))
STARTS = 3
_FINE = 1e-8  # gain of modularity below which nothing is moved any more


class Agreement(NamedTuple):
    """The best clusters' NMI and ARI with the types, draws of both, and their resolution."""

    nmi: float
    ari: float
    nmi_draws: Array
    ari_draws: Array
    resolution: float
    clusters: int


_LAST: list[tuple[Places, Design, Agreement]] = []


def agreement(places: Places, design: Design) -> Agreement:
    """At the resolution whose NMI is largest; kept for the other metric that asks."""
    if _LAST and _LAST[0][0] is places and _LAST[0][1] is design:
        return _LAST[0][2]
    best: tuple[float, float, Array] | None = None
    for resolution in RESOLUTIONS:
        codes = louvain(places.graph, resolution)
        value = nmi(table(codes, places.types))
        if best is None or value > best[0]:
            best = (value, resolution, codes)
    assert best is not None
    value, resolution, codes = best
    by_part = np.stack([
        table(codes[places.parts == part], places.types[places.parts == part],
              (codes.max() + 1, places.types.max() + 1))
        for part in range(design.weights.shape[1])
    ])  # fmt: skip
    drawn = np.tensordot(design.weights, by_part, axes=1)
    whole = by_part.sum(axis=0)
    found = Agreement(
        value, ari(whole), np.array([nmi(one) for one in drawn]), np.array([ari(one) for one in drawn]),
        resolution, int(codes.max()) + 1,
    )  # fmt: skip
    _LAST[:] = [(places, design, found)]
    return found


def louvain(graph: sparse.csr_array, resolution: float) -> Array:
    """The cluster of each cell (n,)."""
    whole = sparse.csr_matrix(graph)
    tries = []
    for start in range(STARTS):
        method = Louvain(
            resolution=resolution, tol_optimization=_FINE, tol_aggregation=_FINE, shuffle_nodes=True,
            random_state=start,
        )  # fmt: skip
        codes = np.asarray(method.fit_predict(whole))
        tries.append((float(get_modularity(whole, codes, resolution=resolution)), codes))
    return max(tries, key=lambda one: one[0])[1]


def table(rows: Array, columns: Array, shape: tuple[int, int] | None = None) -> Array:
    """How many cells have each pair of codes, float64."""
    height, width = shape or (int(rows.max()) + 1, int(columns.max()) + 1)
    flat = np.bincount(rows * width + columns, minlength=height * width)
    return flat.reshape(height, width).astype(np.float64)


def nmi(counts: Array) -> float:
    """Mutual information by the mean of both entropies; 1 where both are of one group."""
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    size = (_entropy(rows) + _entropy(columns)) / 2
    if size <= 0:
        return 1.0
    return float((_entropy(rows) + _entropy(columns) - _entropy(p.ravel())) / size)


def _entropy(p: Array) -> float:
    kept = p[p > 0]
    return float(-(kept * np.log(kept)).sum())


def ari(counts: Array) -> float:
    """The Rand index above chance; 1 where both sides are the same trivial grouping."""
    total = counts.sum()
    pairs = total * (total - 1) / 2
    both, rows, columns = (
        float((c * (c - 1) / 2).sum()) for c in (counts, counts.sum(axis=1), counts.sum(axis=0))
    )
    expected = rows * columns / pairs if pairs else 0.0
    top = (rows + columns) / 2
    return 1.0 if top == expected else (both - expected) / (top - expected)
