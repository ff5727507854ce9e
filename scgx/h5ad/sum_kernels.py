"""A compiled loop that adds up stored entries by group and feature, and by cell.

numpy would need an index as large as the entries for every sum. What is added are counts: their sums
are exact, so no order changes a bit. Lets go of the GIL, and is compiled once per machine.
"""

from typing import NamedTuple

import numpy as np

from scgx.h5ad.compiled import compiled

Array = np.ndarray


class Where(NamedTuple):
    """Where entries belong: g groups, m features, d datasets."""

    group: Array  # int64 (n_obs,), -1 for none
    feature: Array  # int64, of each column of the matrix, -1 for none
    dataset: Array  # int64 (n_obs,)
    mask: Array  # bool (m, d): did the dataset measure the feature? Where not, entries are nothing
    marked: Array  # bool (m,): features whose values are added up by cell as well


class Sums(NamedTuple):
    """What was added up; of groups and features (g, m), of cells (n_obs,).

    What belongs to a feature lies side by side, so that an entry touches one line of the cache.
    """

    table: Array  # float64 (g, m, 5)
    totals: Array
    seen: Array  # int64
    marked: Array

    @classmethod
    def none(cls, shape: tuple[int, int], n_obs: int, limit: Array | float) -> "Sums":
        """Nothing yet; values above `limit` are to be counted alone."""
        table = np.zeros((*shape, 5))
        table[..., 4] = limit
        return cls(table, np.zeros(n_obs), np.zeros(n_obs, dtype=np.int64), np.zeros(n_obs))

    @property
    def values(self) -> Array:
        """Sums of values (g, m)."""
        return self.table[..., 0]

    @property
    def squares(self) -> Array:
        """Sums of squares (g, m)."""
        return self.table[..., 1]

    @property
    def times(self) -> Array:
        """How many values there were, int64 (g, m)."""
        return self.table[..., 2].astype(np.int64)

    @property
    def above(self) -> Array:
        """How many of them were above the limit, int64 (g, m)."""
        return self.table[..., 3].astype(np.int64)


@compiled
def add_up(
    cells: Array, columns: Array, numbers: Array, where: Where, everything: int, sums: Sums
) -> None:
    """Add entries (cell, column, number) to the sums; `everything`: the mask need not be asked."""
    table, totals, seen, marked = sums
    for i in range(len(cells)):
        cell, number = cells[i], numbers[i]
        group, feature = where.group[cell], where.feature[columns[i]]
        if group < 0 or feature < 0:
            continue
        if not everything and not where.mask[feature, where.dataset[cell]]:
            continue
        table[group, feature, 2] += 1
        totals[cell] += number
        seen[cell] += 1
        if where.marked[feature]:
            marked[cell] += number
        if number > table[group, feature, 4]:
            table[group, feature, 3] += 1
        else:
            table[group, feature, 0] += number
            table[group, feature, 1] += number * number
