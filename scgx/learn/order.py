"""In which order rows are visited: pure numbers, the same on every machine.

A disk wants neighbours and learning wants chance. So runs of neighbouring rows are shuffled, and then
the rows of a few hundred runs among themselves (`plan`). Shards (one per process and worker) are equal
parts of that order: they agree on it without talking, each row is in exactly one of them, and all have
the same number of batches, since a gradient that is averaged over processes waits for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError

RUN = 64  # neighbouring rows that are read together
BUFFER = 16_384  # rows that are shuffled together

Shuffle = Literal["block", "full"] | None


def plan(rows: np.ndarray, seed: int, epoch: int, *, shuffle: bool = True) -> np.ndarray:
    """The order in which rows are visited: runs shuffled, then rows within each buffer."""
    if not shuffle:
        return rows
    rng = np.random.default_rng([seed, epoch])
    mixed = _runs(np.sort(rows), rng, RUN)
    _stir(mixed, rng, BUFFER)
    return mixed


class Shard(NamedTuple):
    """Part `number` of `total` equal ones."""

    number: int = 0
    total: int = 1


@dataclass(frozen=True)
class Order:
    """The batches of any epoch: `rows` ascending (int64), in batches of `size`.

    `weights` (float64, one a row): an epoch is as many rows, drawn with replacement in proportion.
    """

    rows: np.ndarray
    size: int
    shuffle: Shuffle = "block"
    seed: int = 0
    weights: np.ndarray | None = None
    run: int = RUN
    buffer: int = BUFFER
    drop_last: bool = False

    @property
    def window(self) -> int:
        """Batches whose rows are shuffled, and read, together."""
        return max(1, self.buffer // self.size)

    def of(self, epoch: int, shard: Shard = Shard()) -> np.ndarray:
        """Rows of a shard in the order in which its batches take them."""
        rng = np.random.default_rng([self.seed, epoch])
        rows = self.rows if self.weights is None else _drawn(self.rows, self.weights, rng)
        if self.shuffle == "full":
            rows = rng.permutation(rows)
        elif self.shuffle == "block":
            rows = _runs(rows, rng, self.run)
        low, high = self._bounds(shard)
        part = rows[low:high]
        if self.shuffle == "block":
            apart = shard.total > 1
            mine = np.random.default_rng([self.seed, epoch, shard.number]) if apart else rng
            part = part.copy()
            _stir(part, mine, self.window * self.size)
        return part

    def cuts(self, shard: Shard = Shard()) -> np.ndarray:
        """Where the batches of a shard begin and end, int64 (batches + 1,); as many in every shard."""
        n, size = len(self.rows), self.size
        low, high = self._bounds(shard)
        if self.drop_last:
            return np.arange(n // shard.total // size + 1) * size
        most, least = -(-n // shard.total), n // shard.total
        batches = min(-(-most // size), least)
        places = np.arange(batches + 1)
        cuts = np.minimum(places * size, (high - low) - (batches - places))
        cuts[-1] = high - low  # in batches of one row, one of two where rows do not divide
        return cuts

    def _bounds(self, shard: Shard) -> tuple[int, int]:
        n = len(self.rows)
        if not 0 <= shard.number < shard.total:
            raise UsageError(f"no shard {shard.number} of {shard.total}")
        if n < shard.total:
            raise DataError(f"{n:,} cells for {shard.total} processes or workers: one has none")
        return n * shard.number // shard.total, n * (shard.number + 1) // shard.total


def _runs(ordered: np.ndarray, rng: np.random.Generator, run: int) -> np.ndarray:
    runs = [ordered[i : i + run] for i in range(0, len(ordered), run)]
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))]) if runs else ordered


def _stir(mixed: np.ndarray, rng: np.random.Generator, buffer: int) -> None:
    for start in range(0, len(mixed), buffer):
        rng.shuffle(mixed[start : start + buffer])


def _drawn(rows: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows with replacement. First copies ascend, then second ones, ...: copies of a row that
    is drawn often would otherwise be neighbours, and meet in one buffer.
    """
    drawn = np.sort(rng.choice(len(rows), len(rows), p=weights / weights.sum()))
    first = np.searchsorted(drawn, drawn)
    return rows[drawn[np.lexsort((drawn, np.arange(len(drawn)) - first))]]
