"""Columns of obs as numbers that an embedding takes: what was seen in training, and `unknown`."""

import json
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Categorical, Frame

MOST_LEVELS = 20  # of a column of numbers, or a tenth of the cells where that is more


class Covariates(NamedTuple):
    """The levels of each column in sorted order; code 0 is a level never seen, or missing."""

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, obs: Frame, columns: Sequence[str], rows: np.ndarray) -> Self:
        """The levels of training rows; DataError where a column is not there, or a measurement."""
        found = []
        for column in columns:
            words = _words(obs, column)[rows]
            require_levels(obs, column, rows)
            found.append(tuple(sorted({word for word in words if word is not None})))
        return cls(tuple(columns), tuple(found))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of the embedding of each column, the unknown one included."""
        return tuple(len(levels) + 1 for levels in self.levels)

    def codes(self, obs: Frame) -> np.ndarray:
        """Codes int64 (n, n_columns) of every row of obs."""
        codes = np.zeros((len(obs), len(self.columns)), np.int64)
        for i, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            known = {level: code for code, level in enumerate(levels, 1)}
            codes[:, i] = [known.get(word, 0) for word in _words(obs, column)]
        return codes

    def save(self) -> bytes:
        """As JSON."""
        return json.dumps([self.columns, self.levels]).encode()

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """From JSON."""
        columns, levels = json.loads(data)
        return cls(tuple(columns), tuple(tuple(each) for each in levels))


def require_levels(obs: Frame, column: str, rows: np.ndarray) -> None:
    """Refuse a column of numbers in which nearly every cell has its own: it has no levels."""
    values = obs[column]
    if isinstance(values, Categorical) or isinstance(values, np.ndarray) and values.dtype == object:
        return
    numbers = obs.numbers(column)[rows]
    different = len(np.unique(numbers[~np.isnan(numbers)]))
    if different > max(MOST_LEVELS, len(rows) // 10):
        raise DataError(
            f"obs[{column!r}] is numeric, {different:,} values in {len(rows):,} cells",
            fix="a covariate has levels: put ranges of it, as words, in a column of their own",
        )


def _words(obs: Frame, column: str) -> np.ndarray:
    if column not in obs:
        raise DataError(f"obs has no column {column!r}, which is a covariate of the model")
    return obs.strings(column)
