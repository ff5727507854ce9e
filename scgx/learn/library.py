"""How deep cells are: the totals of training cells, group by group, and drawing new ones like them."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np


class Library(NamedTuple):
    """Sorted totals of the cells of each group, one after another; group g ends at ends[g]."""

    totals: np.ndarray  # float64
    ends: np.ndarray  # int64 (groups,)

    @classmethod
    def of(cls, totals: list[np.ndarray]) -> Self:
        """From the totals of each group; a group without cells takes those of all."""
        every = np.concatenate(totals) if totals else np.zeros(0)
        parts = [np.sort(part if len(part) else every) for part in totals]
        return cls(
            np.concatenate(parts).astype(np.float64), np.cumsum([len(part) for part in parts])
        )

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A total for each cell of the group that it is of, float64 (n,).

        Any value between two neighbouring totals of the group may come, and not just those seen.
        """
        starts = np.concatenate([[0], self.ends[:-1]])
        n = (self.ends - starts)[groups]
        at = rng.random(len(groups)) * (n - 1)
        low = np.minimum(at.astype(np.int64), np.maximum(n - 2, 0))
        base = starts[groups] + low
        high = np.minimum(base + 1, self.ends[groups] - 1)
        return self.totals[base] + (at - low) * (self.totals[high] - self.totals[base])
