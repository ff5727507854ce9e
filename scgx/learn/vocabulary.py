"""Columns of obs over several files, as numbers: words become codes into one vocabulary.

A code must mean the same in every file, every part of a split and every subset, or a model learns
nothing that can be used. So the vocabulary is the sorted union of what the files declare, whichever
rows are read, and it can be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Categorical, Column, Frame, Nullable, length


class Labels(NamedTuple):
    """A column over all rows of all files: codes (int32, -1 missing) into `words` (object array), or
    numbers (`words` None; NaN where missing).
    """

    values: np.ndarray
    words: np.ndarray | None

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """What makes every label of these rows equally likely: 1 / its number of rows; 0 if missing."""
        codes = self.values[rows]
        counts = np.bincount(codes[codes >= 0], minlength=1)
        return np.where(codes >= 0, 1.0 / np.maximum(counts, 1)[codes], 0.0)


def labels(
    files: Sequence[Cells], name: str, vocabulary: Mapping[str, Sequence[str]] | None = None
) -> Labels:
    """A column by its name. With a vocabulary of its own, other words are missing; DataError where a
    file has no such column.
    """
    columns = [cells.column(name) for cells in files]
    given = None if vocabulary is None else vocabulary.get(name)
    if given is None and all(_numeric(column) for column in columns):
        return Labels(np.concatenate([_numbers(column) for column in columns]), None)
    parts = [_coded(column) for column in columns]
    words = np.unique(np.concatenate([part.categories for part in parts]).astype(str))
    if given is not None:
        words = np.array(list(given), dtype=str)
        if len(np.unique(words)) < len(words):
            raise DataError(f"the vocabulary of {name!r} has a word twice")
    return Labels(np.concatenate([_recoded(part, words) for part in parts]), words.astype(object))


def _numeric(column: Column) -> bool:
    values = column.values if isinstance(column, Nullable) else column
    return isinstance(values, np.ndarray) and values.dtype.kind in "iufb"


def _numbers(column: Column) -> np.ndarray:
    if isinstance(column, Nullable):
        return np.where(column.mask, np.nan, column.values.astype(np.float64))
    return np.asarray(column)


def _coded(column: Column) -> Categorical:
    if isinstance(column, Categorical):
        words = Frame(np.empty(len(column.categories), object), {"x": column.categories}).strings(
            "x"
        )
        return column._replace(categories=words)
    n = length(column)
    words = Frame(np.empty(n, object), {"x": column}).strings("x")
    there = words != None  # noqa: E711 - element by element
    known, inverse = np.unique(words[there].astype(str), return_inverse=True)
    codes = np.full(n, -1, dtype=np.int64)
    codes[there] = inverse
    return Categorical(codes, known.astype(object))


def _recoded(part: Categorical, words: np.ndarray) -> np.ndarray:
    place = {word: code for code, word in enumerate(words.tolist())}
    table = np.array([place.get(word, -1) for word in part.categories.tolist()] + [-1], np.int32)
    return table[part.codes]
