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
        return self.at(groups, rng.random(len(groups)))

    def at(self, groups: np.ndarray, quantile: np.ndarray) -> np.ndarray:
        """The total at a quantile (n,) of the group of each cell, float64 (n,)."""
        starts = np.concatenate([[0], self.ends[:-1]])
        n = (self.ends - starts)[groups]
        at = np.clip(quantile * n - 0.5, 0, n - 1)
        low = np.minimum(at.astype(np.int64), np.maximum(n - 2, 0))
        base = starts[groups] + low
        high = np.minimum(base + 1, self.ends[groups] - 1)
        return self.totals[base] + (at - low) * (self.totals[high] - self.totals[base])

    def quantile(self, group: int, totals: np.ndarray) -> np.ndarray:
        """Where totals (n,) stand among those of a group, in the middle of their equals: 0 to 1."""
        start = 0 if group == 0 else int(self.ends[group - 1])
        mine = self.totals[start : int(self.ends[group])]
        low, high = (np.searchsorted(mine, totals, side=side) for side in ("left", "right"))
        return np.clip((low + high) / 2, 0.5, len(mine) - 0.5) / len(mine)
