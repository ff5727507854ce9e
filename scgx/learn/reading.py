"""Read ahead: the rows of the next batches into buffers while those before are used.

Buffers are read as one, a few hundred runs of neighbouring rows at a time, into arrays that are used
again. What a budget does not allow to be read together is read in smaller portions, and the batches are
the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.h5ad.gather import Entries, Stack

Keys: TypeAlias = tuple[str, ...]


class Window(NamedTuple):
    """Batches whose rows are in memory: `places` of each batch's rows among `rows` (ascending); per
    matrix its buffer, where each row begins in it, and its length.
    """

    places: list[np.ndarray]
    rows: np.ndarray
    found: dict[Keys, tuple[Entries, np.ndarray, np.ndarray]]


class Reading(NamedTuple):
    """How to read: the matrices, how many windows ahead, and the bytes that all buffers may take."""

    stacks: Mapping[Keys, Stack]
    ahead: int
    memory: int

    def windows(
        self, order: np.ndarray, cuts: np.ndarray, start: int, most: int
    ) -> Generator[Window, None, None]:
        """Batches cuts[start].. of `order`, up to `most` in a window. A window is good until the next
        one is asked for: its buffers are used again.
        """
        buffers = [
            {keys: stack.entries() for keys, stack in self.stacks.items()}
            for _ in range(self.ahead + 1)
        ]
        coming: deque[Future[Window]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for turn, (low, high) in enumerate(self._spans(order, cuts, start, most)):
                if len(coming) > self.ahead:
                    yield coming.popleft().result()
                into = buffers[turn % len(buffers)]
                coming.append(pool.submit(self._read, order, cuts[low : high + 1], into))
            while coming:
                yield coming.popleft().result()

    def _spans(
        self, order: np.ndarray, cuts: np.ndarray, start: int, most: int
    ) -> Iterator[tuple[int, int]]:
        """First and last batch of what is read together: a window, or as much of it as fits."""
        fits = self.memory // (self.ahead + 1)
        low, end = start, len(cuts) - 1
        while low < end:
            stop = min(end, (low // most + 1) * most)
            rows, inverse = np.unique(order[cuts[low] : cuts[stop]], return_inverse=True)
            each = np.sum([stack.bytes(rows) for stack in self.stacks.values()], axis=0)[inverse]
            held = np.add.reduceat(each, cuts[low:stop] - cuts[low]).cumsum()
            high = low + max(1, int(np.searchsorted(held, fits, side="right")))
            yield low, high
            low = high

    def _read(self, order: np.ndarray, cuts: np.ndarray, into: dict[Keys, Entries]) -> Window:
        rows, inverse = np.unique(order[cuts[0] : cuts[-1]], return_inverse=True)
        found = {
            keys: (into[keys], *stack.read(rows, into[keys])) for keys, stack in self.stacks.items()
        }
        return Window(np.split(inverse, cuts[1:-1] - cuts[0]), rows, found)
