"""A mean over features, gathered panel by panel, with its bootstrap draws and gene sets."""

from typing import Self

import numpy as np

from scgx.metrics._panel import Array, Design, Result


class FeatureMean:
    """Values per feature and sums of draws; the mean over a gene set is asked for at the end."""

    def __init__(self, design: Design) -> None:
        self.values = np.full(design.n_features, np.nan)
        self.degenerate = np.zeros(design.n_features, dtype=bool)
        draws = design.weights.shape[0]
        self._has_draws = False
        self._sets = design.subsets()
        self._sums = {name: np.zeros(draws) for name in self._sets}
        self._counts = {name: np.zeros(draws) for name in self._sets}

    def add(
        self, columns: slice, values: Array, degenerate: Array, drawn: Array | None = None
    ) -> None:
        """Values (c,), which are degenerate (c,), and draws (draws, c); NaN does not count."""
        self.values[columns] = values
        self.degenerate[columns] = degenerate
        self._has_draws = drawn is not None
        if drawn is None:
            return
        counted = np.isfinite(drawn)
        everything = bool(counted.all())
        for name, chosen in self._sets.items():
            mine = chosen[columns]
            if everything:
                self._sums[name] += drawn[:, mine].sum(axis=1)
                self._counts[name] += np.count_nonzero(mine)
            else:
                self._sums[name] += np.where(counted, drawn, 0.0)[:, mine].sum(axis=1)
                self._counts[name] += np.count_nonzero(counted[:, mine], axis=1)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self.values[columns] = other.values[columns]
        self.degenerate[columns] = other.degenerate[columns]
        self._has_draws = other._has_draws
        for name in self._sets:
            self._sums[name] += other._sums[name]
            self._counts[name] += other._counts[name]

    def result(self, subset: str = "", note: str = "") -> Result:
        """The mean over a gene set; features that are NaN are left out."""
        chosen = self._sets[subset]
        values = self.values[chosen]
        counted = np.isfinite(values)
        bad = int(np.count_nonzero(self.degenerate[chosen]))
        n = int(np.count_nonzero(counted))
        if n == 0:
            nothing = note or "no feature can be scored"
            return Result(None, np.zeros(0), 0, bad, self.values, nothing)
        draws = np.zeros(0)
        if self._has_draws:
            draws = self._sums[subset] / np.maximum(self._counts[subset], 1)
        return Result(float(values[counted].mean()), draws, n, bad, self.values, note)
