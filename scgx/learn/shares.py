"""Which rows of an epoch are whose, where several processes learn one model together.

A step of W processes is a step of one: each takes its part of every batch, so that the gradient of the
batch is the sum of theirs. What is judged is dealt out in whole batches, which need no agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from scgx.learn.order import BUFFER


class Share(NamedTuple):
    """Process `number` of `total`, and what it takes: a part of every batch, or `whole` batches.

    `counted` tells how many items of a batch the processes before this one have, and all of them.
    """

    number: int = 0
    total: int = 1
    whole: bool = False
    counted: Callable[[int], tuple[int, int]] | None = None

    def of(self, batch: np.ndarray, place: int) -> np.ndarray:
        """Rows of the `place`-th batch that are this process's; none at all, at times."""
        if self.whole:
            return batch if place % self.total == self.number else batch[:0]
        n = len(batch)
        return batch[n * self.number // self.total : n * (self.number + 1) // self.total]

    def among(self, items: int) -> tuple[int, int]:
        """How many items come before these `items`, and how many there are, in all processes."""
        return (0, items) if self.counted is None else self.counted(items)


WHOLE = Share()


def chunks(
    order: np.ndarray, size: int, *, share: Share = WHOLE, most: int = BUFFER
) -> Iterator[tuple[np.ndarray, list[slice]]]:
    """Rows to be read together, about `most` of them, and where the batches of `size` lie in them.

    Where batches are, and what is in them, depends on neither `most` nor the number of processes.
    """
    place = 0
    for start in range(0, len(order), BUFFER):
        buffer = order[start : start + BUFFER]
        pieces = []
        for low in range(0, len(buffer), size):
            pieces.append(share.of(buffer[low : low + size], place))
            place += 1
        yield from _together([piece for piece in pieces if len(piece)], most)


def _together(pieces: list[np.ndarray], most: int) -> Iterator[tuple[np.ndarray, list[slice]]]:
    """Neighbouring pieces as one array and slices of it."""
    while pieces:
        ends = np.cumsum([len(piece) for piece in pieces])
        n = max(1, int(np.searchsorted(ends, most, side="right")))
        starts = [0, *ends[: n - 1].tolist()]
        cuts = [slice(low, high) for low, high in zip(starts, ends[:n].tolist(), strict=True)]
        yield np.concatenate(pieces[:n]), cuts
        pieces = pieces[n:]
