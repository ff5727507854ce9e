"""Counts and conditions of cells for a generator: the sibling of TrainingData that predicts nothing.

Rows without a value in every condition are left out. What fits in a third of the budget is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import xxhash
from scipy import sparse

from scgx.cells import coordinates
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features
from scgx.h5ad.frame import Frame
from scgx.h5ad.threads import ahead
from scgx.learn.conditions import Conditions
from scgx.learn.convert import Conversion
from scgx.learn.order import plan
from scgx.learn.shares import WHOLE, Share, chunks

ROWS = 8_192


class CountBatch(NamedTuple):
    """Rows of the file, their counts, and the codes of their conditions (n, columns)."""

    rows: np.ndarray
    x: sparse.csr_array
    codes: np.ndarray


class GenerativeData:
    """Cells of one file in two parts, train and val: counts of the chosen features, and conditions."""

    def __init__(
        self,
        cells: Cells,
        place: tuple[Conversion, np.ndarray],
        about: Conditions,
        parts: tuple[np.ndarray, np.ndarray],
        *,
        groups: np.ndarray | None = None,
        balance: bool = False,
    ) -> None:
        """`place` is where counts are, and the columns that were chosen."""
        self._cells = cells
        self.conversion, self.columns = place
        self.conditions = about
        self.train, self.val = parts
        self.groups, self.balance = groups, balance
        self.memory = cells.memory

    @cached_property
    def features(self) -> Features:
        """The features in the order of the columns of x."""
        return coordinates.features(self._cells.var, self.columns, self.conversion.modality)

    @property
    def obs(self) -> Frame:
        """All rows of obs."""
        return self._cells.obs

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        """Counts of these rows, CSR float32 (len(rows), features), indices sorted."""
        return self._held[rows] if self._held is not None else self._read(rows)

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """Codes of the conditions of these rows, int64 (len(rows), columns)."""
        return self._codes[rows]

    def blocks(self, rows: np.ndarray) -> Iterator[CountBatch]:
        """The rows in order, some thousands at a time."""
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            yield CountBatch(some, self.x(some), self.codes(some))

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        share: Share = WHOLE,
    ) -> Iterator[CountBatch]:
        """`size` rows at a time; the next buffer is read while this one is used.

        With `balance`, shuffled rows are drawn so that labels are equally likely.
        """
        if shuffle and self.balance:
            rows = self._balanced(rows, np.random.default_rng([seed, epoch, 1]))
        found = chunks(plan(rows, seed, epoch, shuffle=shuffle), size, share=share)
        for chunk, x, cuts in ahead((chunk, self.x(chunk), cuts) for chunk, cuts in found):
            for part in cuts:
                some = chunk[part]
                yield CountBatch(some, x[part], self.codes(some))

    def _balanced(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        label = self._codes[rows, 0]
        share = 1 / np.bincount(label)[label]
        return rng.choice(rows, len(rows), p=share / share.sum())

    def fingerprint(self) -> str:
        """A name for exactly this data: file, features, conditions and parts."""
        digest = xxhash.xxh3_128(self._cells.fingerprint.encode())
        for part in (self.columns, self._codes, self.train, self.val):
            digest.update(part.tobytes() + b"|")
        words = f"{self.conversion.words}{self.conditions.levels!r}{self.balance!r}"
        digest.update(words.encode())
        return digest.hexdigest()

    @cached_property
    def _codes(self) -> np.ndarray:
        return self.conditions.codes(self._cells.obs)

    @cached_property
    def _held(self) -> sparse.csr_array | None:
        """All rows of the file in memory when they fit in a third of the budget."""
        if 20 * self._cells.matrix(self.conversion.key).nnz > self.memory // 3:
            return None
        n = self._cells.n_obs
        blocks = [self._read(np.arange(i, min(i + ROWS, n))) for i in range(0, n, ROWS)]
        return sparse.csr_array(sparse.vstack(blocks, format="csr"))

    def _read(self, rows: np.ndarray) -> sparse.csr_array:
        block = self._cells.rows(self.conversion.key, rows, self.columns)
        counts = self.conversion.apply(block)
        if counts.data.size and (counts.data.min() < 0 or (counts.data % 1).any()):
            raise DataError(
                f"{self.conversion.key} is said to be counts and holds other numbers",
                fix="scgx info shows what is where",
                file=self._cells.name,
            )
        counts.eliminate_zeros()
        counts.sort_indices()
        return counts
