"""Of what cell types samples are made: shares with intervals, and how far each is from a tissue.

Intervals are Wilson's at 95 %, over cells: cells of one sample are not independent, so between
samples of one kind shares differ by more than that. The distance is half the sum of absolute
differences of shares (total variation: 0 the same, 1 nothing in common). Few cells always lie at some
distance; its interval comes from drawing the cells of both sides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.learn.artifact import Artifact
from scgx.learn.calls import Calls

UNKNOWN = "unknown"
Z = 1.959963984540054  # of a normal distribution, 97.5 %
DRAWS = 1_000


class Distance(NamedTuple):
    """Total variation to the reference, and its 95 % interval where this holds the value."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Composition:
    """Cells by sample and class; the reference, where there is one, is a row of its own."""

    column: str
    classes: tuple[str, ...]
    samples: tuple[str, ...]
    counts: np.ndarray  # int64 (samples, classes)
    reference: np.ndarray | None = None  # int64 (classes,)

    @property
    def shares(self) -> np.ndarray:
        """Float64 (samples, classes)."""
        made: np.ndarray = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return made

    @property
    def reference_shares(self) -> np.ndarray | None:
        """Float64 (classes,)."""
        return None if self.reference is None else self.reference / self.reference.sum()

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Wilson's bounds of the shares, (samples, classes) each."""
        return wilson(self.counts, self.counts.sum(axis=1, keepdims=True))

    def distances(self) -> list[Distance]:
        """Of each sample to the reference; nothing without one."""
        if self.reference is None:
            return []
        return [distance(row, self.reference, seed=i) for i, row in enumerate(self.counts)]

    def rows(self) -> list[tuple[str, str, int, float, float, float, float | None]]:
        """Sample, class, cells, share, low, high, share of the reference (None without one)."""
        low, high = self.intervals()
        there = self.reference_shares
        return [
            (
                sample, word, int(self.counts[i, k]), float(self.shares[i, k]),
                float(low[i, k]), float(high[i, k]), None if there is None else float(there[k]),
            )
            for i, sample in enumerate(self.samples)
            for k, word in enumerate(self.classes)
        ]  # fmt: skip


def of_samples(
    calls: Calls, samples: np.ndarray, column: str, reference: dict[str, int] | None = None
) -> Composition:
    """Count called cells by sample (n,), None is a sample "missing"; unknown cells are a class.

    Classes that are nowhere are left out.
    """
    words = _words(calls)
    here = np.array(["missing" if s is None else str(s) for s in samples], dtype=str)
    names, rows = np.unique(here, return_inverse=True)
    known = [*calls.classes, UNKNOWN]
    extra = sorted(set(reference or {}) - set(known))
    every = [*known, *extra]
    place = {word: k for k, word in enumerate(every)}
    counts = np.zeros((len(names), len(every)), dtype=np.int64)
    np.add.at(counts, (rows, np.array([place[word] for word in words], dtype=np.int64)), 1)
    beside = None
    if reference is not None:
        beside = np.array([reference.get(word, 0) for word in every], dtype=np.int64)
    seen = (counts.sum(axis=0) + (0 if beside is None else beside)) > 0
    return Composition(
        column,
        tuple(word for word, kept in zip(every, seen, strict=True) if kept),
        tuple(str(name) for name in names),
        counts[:, seen],
        None if beside is None else beside[seen],
    )


def of_tissue(cells: Cells, model: Artifact, *, coarse: bool) -> dict[str, int]:
    """Cells per class of a reference: as it was classified, else by the column of the labels.

    DataError where it has neither. `coarse` takes its labels through the map of the model.
    """
    labels = model.header.labels
    column = labels.column if labels is not None else "scgx_label"
    rules = labels.coarse if labels is not None and coarse else {}
    if "scgx_label" in cells.obs:
        words = cells.obs.strings("scgx_label")
        if "scgx_unknown" in cells.obs:
            unknown = cells.obs.numbers("scgx_unknown") == 1
            words = np.where(unknown, UNKNOWN, words)
    elif column in cells.obs:
        words = cells.obs.strings(column)
        words = np.array([rules.get(w, w) if w is not None else None for w in words], dtype=object)
    else:
        raise DataError(
            f"obs has neither scgx_label nor {column}",
            fix="classify it first, or rename its column",
            file=cells.name,
        )
    names, counts = np.unique([str(w) for w in words if w is not None], return_counts=True)
    if not len(names):
        raise DataError("no cell of the reference has a class", file=cells.name)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def wilson(counts: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a share at 95 % (Wilson 1927); 0 and 1 where there are no cells."""
    n = np.maximum(total, 1)
    share = counts / n
    middle = share + Z**2 / (2 * n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)
    empty = np.broadcast_to(total == 0, low.shape)
    return np.where(empty, 0, np.maximum(low, 0)), np.where(empty, 1, np.minimum(high, 1))


def distance(here: np.ndarray, there: np.ndarray, *, seed: int) -> Distance:
    """Total variation between two rows of counts (classes,), each with a cell at least."""
    p, q = here / here.sum(), there / there.sum()
    value = float(np.abs(p - q).sum() / 2)
    rng = np.random.default_rng([seed, len(here)])
    drawn = [
        rng.multinomial(row.sum(), row / row.sum(), DRAWS) / row.sum() for row in (here, there)
    ]
    low, high = np.percentile(np.abs(drawn[0] - drawn[1]).sum(axis=1) / 2, [2.5, 97.5])
    if not low <= value <= high:
        return Distance(value, None, None)
    return Distance(value, float(low), float(high))


def _words(calls: Calls) -> np.ndarray:
    words = np.array(calls.classes, dtype=object)[calls.best[:, 0]]
    words[calls.unknown] = UNKNOWN
    return words
