"""How certain a score is: groups drawn with replacement, 1,000 times, by weights and not by copies.

Cells of one donor resemble each other, so donors are drawn and not cells. With fewer than five
groups that cannot work; cells are then dealt into a hundred random parts (by a hash of the name,
whatever their order) and parts are drawn, which is as wide as drawing cells and a hundred times
cheaper. Such an interval is called optimistic wherever it is printed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from scgx.h5ad.names import hash_names
from scgx.metrics._panel import Result

Array = np.ndarray

DRAWS = 1000
FEWEST_GROUPS = 5
_PARTS = 100


class Bootstrap(NamedTuple):
    """Parts of the cells (n,), weights of the draws (draws, parts), and what was drawn."""

    parts: Array
    weights: Array
    over: str
    groups: tuple[str, ...]
    optimistic: bool


def plan(names: Array, labels: Array | None, column: str, *, seed: int) -> Bootstrap:
    """Draw groups where `labels` (n,) has five or more, else cells."""
    levels: tuple[str, ...] = ()
    if labels is not None:
        words = np.array(["missing" if word is None else word for word in labels], dtype=str)
        found, codes = np.unique(words, return_inverse=True)
        levels = tuple(found.tolist())
        if len(levels) >= FEWEST_GROUPS:
            over = f"{len(levels)} groups of {column!r}"
            return Bootstrap(codes, _weights(len(levels), seed), over, levels, False)
    parts = min(_PARTS, len(names))
    rank = np.empty(len(names), dtype=np.intp)
    rank[np.argsort(hash_names(names), kind="stable")] = np.arange(len(names))
    return Bootstrap(rank % parts, _weights(parts, seed), "cells, optimistic", levels, True)


def interval(draws: Array, value: float | None) -> tuple[float, float] | None:
    """The 2.5th and 97.5th percentile; None where there are no draws, or where they do not hold the
    value itself: of very few cells most draws repeat some, and what they say is of another quantity.
    """
    if len(draws) == 0 or value is None:
        return None
    low, high = np.percentile(draws, [2.5, 97.5])
    slack = 1e-9 * max(1.0, abs(value))
    return (float(low), float(high)) if low - slack <= value <= high + slack else None


def without_interval(results: Mapping[str, Result], cells: int) -> list[str]:
    """A note about the metrics whose draws do not hold their value, if there are any."""
    bare = [
        name
        for name, result in results.items()
        if len(result.draws) and result.value is not None
        if interval(result.draws, result.value) is None
    ]
    words = f"no interval of {', '.join(bare)}: draws of {cells:,} cells do not hold the value"
    return [words] if bare else []


def _weights(parts: int, seed: int) -> Array:
    rng = np.random.default_rng([seed, parts])
    return rng.multinomial(parts, np.full(parts, 1 / parts), size=DRAWS).astype(np.float64)
