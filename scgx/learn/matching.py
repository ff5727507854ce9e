"""Which cell of one file is which cell of another, where both lie in one space.

Similar is near: s = -|a - b|^2 / 2. In many dimensions a few cells are near to everything (hubs), and
take every match; optimal transport evens that out: each cell of either side has as much to give as
every other one (Sinkhorn; Cuturi 2013, in logarithms). What it adds to each row and column is kept as a
potential. The weight of a pair is then a softmax over its row.

How sharp, is learned from pairs that are known (validation cells): the temperature is the one under
which true partners are likeliest, and confidence is the probability under it. Weights are sharpened
beyond it as far as the mean weight of true partners grows, which is what is scored.

Blocks have 256 rows whatever the memory, so that a cell's answer does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse

from scgx.errors import DataError

METHODS = ("transport", "softmax", "mutual")
ROUNDS = 10
TEMPERATURES = (
    0.02,
    0.035,
    0.05,
    0.07,
    0.1,
    0.15,
    0.25,
    0.4,
    0.6,
    1.0,
)  # of the spread of similarities
USUAL = 0.4  # of the spread, where no pairs are known
SHARPNESS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
MOST_ASSIGNED = 10_000  # cells; an assignment takes the cube of their number
MOST_KEPT = 1_000  # weights of a row
SOFT = np.float32(1e-3)  # of the weight is not sharpened: what is unlikely keeps its order
ROWS = 256
MOST_KNOWN = 2_000  # pairs that temperatures are learned from


class Places(NamedTuple):
    """Cells of both sides in a common space: float32 (n, d) and (m, d)."""

    left: np.ndarray
    right: np.ndarray


class Sharp(NamedTuple):
    """Temperature of similarities, and how much sharper than that weights are."""

    temperature: float
    sharpness: float = 1.0


class Matched(NamedTuple):
    """Rows of a match: CSR float32 (n, m) whose rows sum to 1 or are empty; the probability float32
    (n, m) CSR of the same entries; the best partner of each row, -1 without one, and its probability;
    whether each is the other's best.
    """

    weights: sparse.csr_array
    probability: sparse.csr_array
    best: np.ndarray
    confidence: np.ndarray
    mutual: np.ndarray


class Potentials(NamedTuple):
    """What is added to s / temperature: float32 (n,) and (m,)."""

    rows: np.ndarray
    columns: np.ndarray


def similarities(places: Places, temperature: float) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of s / temperature, float32 (rows, m), but for a constant of each row."""
    left, right = places
    own = (right.astype(np.float64) ** 2).sum(axis=1) / 2 / temperature
    scaled = np.ascontiguousarray((right / np.float32(temperature)).T)
    for start in range(0, len(left), ROWS):
        part = slice(start, min(start + ROWS, len(left)))
        block = left[part] @ scaled
        block -= own.astype(np.float32)
        yield part, block


def spread(places: Places) -> float:
    """The standard deviation of similarities within rows, of up to 512 of them."""
    some = np.linspace(0, len(places.left) - 1, min(len(places.left), 512)).astype(int)
    blocks = similarities(Places(places.left[some], places.right), 1.0)
    return float(np.mean([block.std(axis=1).mean() for _part, block in blocks])) or 1.0


def potentials(places: Places, temperature: float, rounds: int = ROUNDS) -> Potentials:
    """Sinkhorn's: with them, exponentials of all rows and of all columns sum to one number."""
    n, m = len(places.left), len(places.right)
    rows, columns = np.zeros(n, np.float32), np.zeros(m, np.float32)
    for _ in range(rounds):
        top, total = np.full(m, -np.inf, np.float32), np.zeros(m)
        for part, block in similarities(places, temperature):
            rows[part] = -_logsumexp(block + columns)
            block += rows[part, None]
            high = np.maximum(top, block.max(axis=0))
            total = total * np.exp(top - high) + np.exp(block - high).sum(axis=0)
            top = high
        columns = (-top - np.log(total)).astype(np.float32)
        columns -= columns.mean()
    for part, block in similarities(places, temperature):
        rows[part] = -_logsumexp(block + columns)
    return Potentials(rows, columns)


def learn(known: Places, method: str) -> Sharp:
    """The temperature under which known pairs are likeliest, and how much sharper weights may be."""
    if len(known.left) > MOST_KNOWN:
        some = np.linspace(0, len(known.left) - 1, MOST_KNOWN).astype(int)
        known = Places(known.left[some], known.right[some])
    unit = spread(known)
    likely = {}
    for share in TEMPERATURES:
        logits = _own(known, share * unit, _columns(known, share * unit, method))
        likely[share * unit] = float(np.mean(logits[0] - logits[1][1.0]))
    temperature = max(likely, key=lambda each: likely[each])
    own, whole = _own(known, temperature, _columns(known, temperature, method), SHARPNESS)
    gained = {sharp: float(np.exp(sharp * own - whole[sharp]).mean()) for sharp in SHARPNESS}
    return Sharp(temperature, max(gained, key=lambda each: gained[each]))


def _own(
    known: Places, temperature: float, columns: np.ndarray, sharpness: tuple[float, ...] = (1.0,)
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Of each pair its logit, and the logarithm of the sum of the row's exponentials, per sharpness."""
    own = np.empty(len(known.left))
    whole = {sharp: np.empty(len(own)) for sharp in sharpness}
    for part, block in similarities(known, temperature):
        block += columns
        own[part] = block[np.arange(len(block)), np.arange(part.start, part.stop)]
        for sharp in sharpness:
            whole[sharp][part] = _logsumexp(np.float32(sharp) * block)
    return own, whole


def _columns(places: Places, temperature: float, method: str) -> np.ndarray:
    if method == "softmax":
        return np.zeros(len(places.right), np.float32)
    return potentials(places, temperature).columns


def match(places: Places, sharp: Sharp, method: str, keep: int) -> tuple[Matched, Potentials]:
    """All cells of the left against all of the right; at most `keep` weights a row."""
    n, m = len(places.left), len(places.right)
    found = Potentials(np.zeros(n, np.float32), np.zeros(m, np.float32))
    if method != "softmax":
        found = potentials(places, sharp.temperature)
    keep = min(keep, m)
    best, confidence = np.empty(n, np.int64), np.empty(n, np.float32)
    top, first = np.full(m, -np.inf), np.full(m, -1)
    kept, weights, odds = [], [], []
    for part, block in similarities(places, sharp.temperature):
        block += found.columns
        level = _logsumexp(block)
        best[part] = block.argmax(axis=1)
        inside = np.arange(len(block))
        confidence[part] = np.exp(block[inside, best[part]] - level)
        over = block + found.rows[part, None]
        high = over.max(axis=0)
        better = high > top
        top = np.where(better, high, top)
        first = np.where(better, over.argmax(axis=0) + part.start, first)
        columns = np.argpartition(-block, keep - 1, axis=1)[:, :keep] if keep < m else None
        columns = (
            np.sort(columns, axis=1)
            if columns is not None
            else np.tile(np.arange(m), (len(block), 1))
        )
        values = np.take_along_axis(block, columns, axis=1)
        kept.append(columns.astype(np.int32))
        odds.append(np.exp(values - level[:, None]))
        sharper = _softmax(np.float32(sharp.sharpness) * values)
        weights.append((1 - SOFT) * sharper + SOFT * _softmax(values))
    mutual = first[best] == np.arange(n)
    shape, indptr = (n, m), np.arange(0, n * keep + 1, keep)
    indices = np.concatenate(kept).ravel()
    made = [
        sparse.csr_array((np.concatenate(each).ravel(), indices, indptr), shape=shape)
        for each in (weights, odds)
    ]
    result = Matched(made[0], made[1], best, confidence, mutual)
    return (only_mutual(result) if method == "mutual" else result), found


def only_mutual(found: Matched) -> Matched:
    """Weight one for pairs that are each other's best; other rows are empty."""
    rows = np.flatnonzero(found.mutual)
    return found._replace(weights=_ones(rows, found.best[rows], found.weights.shape))


def one_to_one(places: Places, sharp: Sharp, found: Matched, memory: int) -> Matched:
    """Each cell at most once: the assignment with the highest sum of logits (Jonker, Volgenant).

    DataError above 10,000 cells, or where the matrix does not fit.
    """
    n, m = len(places.left), len(places.right)
    if max(n, m) > MOST_ASSIGNED or 16 * n * m > memory:
        raise DataError(
            f"--one-to-one of {n:,} and {m:,} cells is too large",
            fix="--by COLUMN matches within groups; without it, obs['match'] has the best partner",
        )
    whole = np.empty((n, m), np.float32)
    columns = potentials(places, sharp.temperature).columns
    for part, block in similarities(places, sharp.temperature):
        block += columns
        whole[part] = block - _logsumexp(block)[:, None]
    rows, partners = optimize.linear_sum_assignment(whole, maximize=True)
    best, confidence = np.full(n, -1), np.zeros(n, np.float32)
    best[rows], confidence[rows] = partners, np.exp(whole[rows, partners])
    weights = _ones(rows, partners, (n, m))
    return Matched(
        weights, found.probability, best, confidence, found.mutual & (best == found.best)
    )


HUBS = 2  # coordinates that `freed` adds


def freed(places: Places, found: Potentials, temperature: float) -> Places:
    """The places with two more coordinates, so that distances hold the potentials as well.

    |a' - b'|^2 = |a - b|^2 - 2 temperature (row + column) + constant: near is likely, hubs or not.
    """
    room = []
    for values in found:
        extra = -2 * temperature * values.astype(np.float64)
        room.append(np.sqrt(np.maximum(extra - extra.min(), 0)).astype(np.float32))
    left, right = room
    return Places(
        np.column_stack([places.left, left, np.zeros_like(left)]),
        np.column_stack([places.right, np.zeros_like(right), right]),
    )


def _ones(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


def _logsumexp(block: np.ndarray) -> np.ndarray:
    """Over columns: float64 (rows,)."""
    top = block.max(axis=1)
    return top + np.log(np.exp(block - top[:, None]).sum(axis=1, dtype=np.float64))


def _softmax(block: np.ndarray) -> np.ndarray:
    made = np.exp(block - block.max(axis=1, keepdims=True))
    return (made / made.sum(axis=1, keepdims=True)).astype(np.float32)
