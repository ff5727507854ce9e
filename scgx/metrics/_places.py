"""What every metric of embeddings sees: places of cells, their types and batches, who is near whom.

The graph joins each cell with its 14 nearest others (15 with itself, as scanpy counts), in either
direction. Sums over cells are kept by part, so that draws of parts give an interval; what is a property
of the whole graph has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from scgx.metrics._panel import Result

Array = np.ndarray

NEIGHBOURS = 14  # besides the cell itself
ROWS = 512


class Design(NamedTuple):
    """Weights of the draws (draws, parts)."""

    weights: Array


class Near(NamedTuple):
    """The nearest others of each cell (n, k), the nearest first, and how far they are."""

    rows: Array
    distances: Array


@dataclass(frozen=True, eq=False)
class Places:
    """n cells: vectors (n, d) float64, codes of types and of batches (n,), the part each is in (n,).

    `batches` is None where there is no such column. `cycle` (n, 2): scores of S and G2M. `before`:
    by batch, the share of the variance of expression that those scores explain. `orders`: pseudotimes
    (n,), NaN where a cell has none.
    """

    vectors: Array
    types: Array
    batches: Array | None
    parts: Array
    cycle: Array | None = None
    before: dict[int, float] | None = None
    orders: tuple[Array, ...] = ()

    @cached_property
    def near(self) -> Near:
        """Exact, by Euclidean distance; of equals some, drawn anew for each cell: no cell is a hub."""
        n = len(self.vectors)
        k = max(1, min(NEIGHBOURS, n - 1))
        rows, far = [], []
        rng = np.random.default_rng(0)
        for start, block in distances(self.vectors, self.vectors):
            own = np.arange(len(block))
            block[own, start + own] = np.inf
            found = np.argpartition(block, (k - 1, min(k, n - 1)), axis=1)[:, : k + 1]
            at = np.take_along_axis(block, found, axis=1)
            for row in np.flatnonzero((at[:, -1] == at[:, k - 1]) & (n > k + 1)):
                found[row, :k] = _drawn(block[row], at[row, -1], k, rng)
            found = found[:, :k]
            at = np.take_along_axis(block, found, axis=1)
            order = np.lexsort((found, at), axis=1)
            rows.append(np.take_along_axis(found, order, axis=1))
            far.append(np.take_along_axis(at, order, axis=1))
        return Near(np.concatenate(rows), np.concatenate(far))

    @cached_property
    def graph(self) -> sparse.csr_array:
        """Ones between neighbours, symmetric (n, n)."""
        n, k = self.near.rows.shape
        where = np.repeat(np.arange(n), k), self.near.rows.ravel()
        ones = sparse.csr_array((np.ones(n * k), where), shape=(n, n))
        both = sparse.csr_array(ones + ones.T)
        both.data[:] = 1
        return both


def _drawn(far: Array, edge: float, k: int, rng: np.random.Generator) -> Array:
    """k cells of those at most `edge` away, all that are nearer among them."""
    nearer = np.flatnonzero(far < edge)
    return np.concatenate([nearer, rng.permutation(np.flatnonzero(far == edge))[: k - len(nearer)]])


def distances(x: Array, y: Array) -> Iterator[tuple[int, Array]]:
    """Euclidean distances of 512 rows of x to all of y, and where those rows start."""
    square = (y * y).sum(axis=1)
    for start in range(0, len(x), ROWS):
        some = x[start : start + ROWS]
        block = (some * some).sum(axis=1)[:, None] + square - 2 * (some @ y.T)
        yield start, np.sqrt(np.maximum(block, 0))


def silhouettes(x: Array, codes: Array) -> Array:
    """Rousseeuw's silhouette of each cell (n,); 0 for a cell that is alone in its group."""
    names, codes = np.unique(codes, return_inverse=True)
    member = np.eye(len(names))[codes]
    size = member.sum(axis=0)
    made = np.zeros(len(x))
    for start, block in distances(x, x):
        own = codes[start : start + len(block)]
        at = np.arange(len(block))
        block[at, start + at] = 0
        total = block @ member
        inside = total[at, own] / np.maximum(size[own] - 1, 1)
        outside = total / size
        outside[at, own] = np.inf
        other = outside.min(axis=1)
        top = np.maximum(inside, other)
        found = np.divide(other - inside, top, out=np.zeros(len(block)), where=top > 0)
        made[start : start + len(block)] = np.where(size[own] > 1, found, 0)
    return made


def components(graph: sparse.csr_array) -> Array:
    """The connected component of each cell (n,)."""
    return csgraph.connected_components(graph, directed=False)[1]


def mean_by_part(values: Array, parts: Array, design: Design) -> tuple[float, Array]:
    """The mean of values (n,), and of each draw of parts (draws,)."""
    width = design.weights.shape[1]
    sums = np.bincount(parts, weights=values, minlength=width)
    counts = np.bincount(parts, minlength=width)
    drawn = design.weights @ counts
    return float(values.mean()), design.weights @ sums / np.where(drawn > 0, drawn, np.nan)


def undefined(n: int, why: str) -> Result:
    """A metric that these cells do not have."""
    return Result(None, np.zeros(0), n, note=why)


NO_BATCHES = "no column of batches"
