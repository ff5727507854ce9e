"""Columns of obs as numbers that an embedding takes: what was seen in training, and `unknown`."""

import json
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Frame


class Covariates(NamedTuple):
    """The levels of each column in sorted order; code 0 is a level never seen, or missing."""

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, obs: Frame, columns: Sequence[str], rows: np.ndarray) -> Self:
        """The levels of training rows; DataError where a column is not there."""
        found = []
        for column in columns:
            words = _words(obs, column)[rows]
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


def _words(obs: Frame, column: str) -> np.ndarray:
    if column not in obs:
        raise DataError(f"obs has no column {column!r}, which is a covariate of the model")
    return obs.strings(column)
