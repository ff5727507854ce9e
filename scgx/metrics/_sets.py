"""What every metric of synthetic cells sees: real cells and made ones of the same classes.

Both sides have the same number of cells of each class, so that no figure depends on how many were
made. All that is fitted (components, the most variable genes, a scale of distances) is fitted on
real training cells alone. Counts are those of the genes that both files have, and depth is their
sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from scgx.metrics._panel import Result

Array = np.ndarray

COMPONENTS = 50
VARIABLE = 200
FLAT = 1e-9  # share of the mean square of a gene, under which it does not vary
FEWEST = 20  # cells of a class on either side; below, nothing is said of the class
_NEAR = 1_000  # training cells whose median distance is the scale of kernels


@dataclass(frozen=True, eq=False)
class Space:
    """Components of training cells: x maps to (x - mean) @ axes; the most variable genes come first."""

    mean: Array  # (genes,)
    axes: Array  # (genes, components)
    variable: Array  # positions of up to 200 genes

    @classmethod
    def fit(cls, log: sparse.csr_array) -> Space:
        """Principal components of log1p-cp10k (n, genes), the largest first; nothing is scaled."""
        n, width = log.shape
        mean = np.asarray(log.mean(axis=0)).ravel().astype(np.float64)
        second = np.asarray(log.multiply(log).mean(axis=0)).ravel()
        variable = np.argsort(-(second - mean**2), kind="stable")[:VARIABLE]
        rank = min(COMPONENTS, n - 1, width - 1)
        if not np.any(
            second - mean**2 > FLAT * second
        ):  # cells that are all alike lie in one point
            return cls(mean, np.zeros((width, rank)), variable)

        def times(v: Array) -> Array:
            return log @ v.ravel() - mean @ v.ravel()

        def back(u: Array) -> Array:
            return log.T @ u.ravel() - mean * u.sum()

        centred = linalg.LinearOperator(log.shape, times, back, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(min(log.shape))
        _, size, axes = linalg.svds(centred, k=rank, v0=start)
        return cls(mean, axes[np.argsort(-size, kind="stable")].T, variable)


@dataclass(frozen=True, eq=False)
class CellSet:
    """Cells: counts (n, genes), log1p of counts per 10,000 (n, genes), codes of their classes (n,)."""

    counts: sparse.csr_array
    log: sparse.csr_array
    codes: Array
    space: Space | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def within(self, space: Space) -> CellSet:
        """The same cells, to be seen in a space."""
        return CellSet(self.counts, self.log, self.codes, space)

    def take(self, rows: Array) -> CellSet:
        """Some of the cells."""
        return CellSet(self.counts[rows], self.log[rows], self.codes[rows], self.space)

    @cached_property
    def totals(self) -> Array:
        """Counts per cell (n,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    @cached_property
    def components(self) -> Array:
        """Float64 (n, components)."""
        if self.space is None:
            raise ValueError("these cells are in no space")
        return np.asarray(self.log @ self.space.axes) - self.space.mean @ self.space.axes

    def digests(self) -> list[bytes]:
        """A short hash of the counts of each cell; equal cells have equal ones."""
        return digests(self.counts)


def digests(counts: sparse.csr_array) -> list[bytes]:
    """A short hash of each row of counts."""
    tidy = sparse.csr_array(counts, copy=True)
    tidy.eliminate_zeros()
    tidy.sort_indices()
    where, what = tidy.indices.astype(np.int64), tidy.data.astype(np.int64)
    ends = zip(tidy.indptr[:-1], tidy.indptr[1:], strict=True)
    return [blake2b(where[a:b].tobytes() + what[a:b].tobytes(), digest_size=16).digest()
            for a, b in ends]  # fmt: skip


class Pair(NamedTuple):
    """As many real held-out cells as made ones of each class, and as many training cells (members)."""

    real: CellSet
    fake: CellSet
    members: CellSet

    def by_class(self) -> Iterator[tuple[int, CellSet, CellSet]]:
        """Code, real and made cells of each class that is large enough."""
        for code in np.unique(self.real.codes):
            real, fake = (np.flatnonzero(s.codes == code) for s in (self.real, self.fake))
            if min(len(real), len(fake)) >= FEWEST:
                yield int(code), self.real.take(real), self.fake.take(fake)


@dataclass(frozen=True, eq=False)
class Design:
    """What the training rows said: cells, hashes of all their counts, the scale of distances."""

    train: CellSet
    known: frozenset[bytes]
    seed: int = 0

    @cached_property
    def scales(self) -> dict[int, float]:
        """The median distance between training cells, by number of components."""
        rows = np.random.default_rng(self.seed).permutation(len(self.train))[:_NEAR]
        found = {}
        for width in (10, COMPONENTS):
            x = self.train.components[rows, :width]
            found[width] = float(np.median(distances(x, x)[np.triu_indices(len(x), 1)]))
        return found


def distances(x: Array, y: Array) -> Array:
    """Euclidean distances (len(x), len(y))."""
    square = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * (x @ y.T)
    return np.sqrt(np.maximum(square, 0))


def blocks(x: Array, y: Array, size: int = 512) -> Iterator[tuple[int, Array]]:
    """Distances of 512 rows of x to all of y, and where those rows start."""
    for start in range(0, len(x), size):
        yield start, distances(x[start : start + size], y)


def nearest_genes(x: CellSet, y: CellSet) -> Array:
    """As `nearest`, in log1p-cp10k of all genes: where nothing was fitted to either."""
    square = np.asarray(y.log.multiply(y.log).sum(axis=1), dtype=np.float64).ravel()
    across = sparse.csc_array(y.log.T)
    found = []
    for start in range(0, len(x), 512):
        some = x.log[start : start + 512]
        own = np.asarray(some.multiply(some).sum(axis=1), dtype=np.float64).ravel()
        both = (some @ across).toarray().astype(np.float64)
        found.append(np.sqrt(np.maximum(own + (square - 2 * both).min(axis=1), 0)))
    return np.concatenate(found)


def nearest(x: Array, y: Array) -> Array:
    """The distance of each row of x to its nearest of y, (len(x),)."""
    return np.concatenate([block.min(axis=1) for _, block in blocks(x, y)])


class Repeats:
    """One number per draw of cells; the result is their mean."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.n = 0
        self.degenerate = 0

    def add(self, value: float, n: int, degenerate: int = 0) -> None:
        """A number that rests on n units; NaN where it is not defined."""
        self.values.append(value)
        self.n, self.degenerate = n, degenerate

    def result(self, note: str = "not defined on these cells") -> Result:
        """The mean over draws."""
        known = [value for value in self.values if np.isfinite(value)]
        if not known:
            return Result(None, np.zeros(0), self.n, self.degenerate, note=note)
        return Result(float(np.mean(known)), np.zeros(0), self.n, self.degenerate)


def pearson(x: Array, y: Array) -> float:
    """r of two vectors; 0 where one does not vary, NaN under three values."""
    if len(x) < 3:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / scale, -1, 1)) if scale > 0 else 0.0
