"""What cells are generated for: a label and other columns of obs, and which levels were seen together.

The label comes first. Levels are sorted, and a cell is a row of codes, one for each column. Which
combinations were seen in training, and how often, is kept: it is what `generate --n` draws from, and
what tells an unseen combination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Categorical, Frame
from scgx.learn.covariates import require_levels


@dataclass(frozen=True)
class Conditions:
    """Columns and their levels; `seen` int64 (m, columns): combinations of the training cells, sorted,
    and `counts` int64 (m,): how many cells had each.
    """

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    seen: np.ndarray
    counts: np.ndarray

    @property
    def sizes(self) -> tuple[int, ...]:
        """Levels of each column."""
        return tuple(len(levels) for levels in self.levels)

    @cached_property
    def labels(self) -> np.ndarray:
        """Training cells of each level of the label, int64."""
        return np.bincount(self.seen[:, 0], weights=self.counts, minlength=self.sizes[0]).astype(
            np.int64
        )

    def combination(self, codes: np.ndarray) -> np.ndarray:
        """Which combination of `seen` each row of codes is, int64 (n,); -1 for one that is not."""
        keys = self._keys(self.seen)
        mine = self._keys(codes)
        place = np.minimum(np.searchsorted(keys, mine), len(keys) - 1)
        return np.where(keys[place] == mine, place, -1)

    def _keys(self, codes: np.ndarray) -> np.ndarray:
        return np.ravel_multi_index(tuple(np.asarray(codes, np.int64).T), self.sizes)

    def code(self, column: str, level: str) -> int:
        """The code of a level; DataError for one that no training cell had."""
        levels = self.levels[self.place(column)]
        if level not in levels:
            listed = ", ".join(levels[:8]) + (", ..." if len(levels) > 8 else "")
            raise DataError(f"the model knows no {column} {level!r}", fix=f"it knows {listed}")
        return levels.index(level)

    def place(self, column: str) -> int:
        """Which of the columns it is; DataError where it is none."""
        if column not in self.columns:
            known = ", ".join(self.columns)
            raise DataError(f"the model has no condition {column!r}", fix=f"it has {known}")
        return self.columns.index(column)

    def codes(self, obs: Frame) -> np.ndarray:
        """Codes of every row, int64 (n, columns); -1 for a level that is missing or not known."""
        made = np.full((len(obs), len(self.columns)), -1, np.int64)
        for i, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            known = {level: code for code, level in enumerate(levels)}
            made[:, i] = [known.get(word, -1) for word in obs.strings(column)]
        return made

    def frame(self, codes: np.ndarray, index: np.ndarray) -> Frame:
        """Rows of codes as a table of categoricals."""
        table = Frame(index)
        for i, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            small = np.int8 if len(levels) < 128 else np.int32
            words = np.array(levels, dtype=object)
            table = table.with_column(column, Categorical(codes[:, i].astype(small), words))
        return table

    def allot(self, n: int, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """`n` rows of codes (n, columns), in order, in proportion to counts."""
        exact = counts / counts.sum() * n
        each = np.floor(exact).astype(np.int64)
        rest = np.argsort(-(exact - each), kind="stable")[: n - int(each.sum())]
        each[rest] += 1
        return np.repeat(codes, each, axis=0)


def fit(obs: Frame, columns: Sequence[str], train: np.ndarray, known: Sequence[str]) -> Conditions:
    """The levels of training rows that have all conditions; `known` are the levels of the label."""
    levels = [tuple(known)]
    for column in columns[1:]:
        require_levels(obs, column, train)
        words = obs.strings(column)[train]
        levels.append(tuple(sorted({word for word in words if word is not None})))
        if not levels[-1]:
            raise DataError(f"obs[{column!r}] has no value in {len(train):,} training cells")
    blank = Conditions(tuple(columns), tuple(levels), np.empty((0, len(levels)), np.int64), _NONE)
    codes = blank.codes(obs)[train]
    seen, counts = np.unique(codes[(codes >= 0).all(axis=1)], axis=0, return_counts=True)
    return Conditions(blank.columns, blank.levels, seen, counts.astype(np.int64))


_NONE = np.empty(0, np.int64)


def groups(about: Conditions, least: int = 25) -> np.ndarray:
    """The combinations that have enough training cells to stand alone, int64 (g, columns).

    A model without weights to share learns each of these by itself, and each level of the label.
    """
    if len(about.columns) == 1:
        return np.empty((0, 1), np.int64)
    return about.seen[about.counts >= least]


def group_of(own: np.ndarray, codes: np.ndarray, labels: int) -> np.ndarray:
    """Group of each row of codes: its label, or `labels` + its place among the combinations `own`."""
    found = codes[:, 0].astype(np.int64).copy()
    for place, combination in enumerate(own):
        found[(codes == combination).all(axis=1)] = labels + place
    return found
