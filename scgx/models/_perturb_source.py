"""Items for the torch loop: conditions in batches, with control cells drawn to see them in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scgx.learn.response_data import ResponseData
from scgx.learn.shares import WHOLE, Share
from scgx.models._perturb_items import Lesson, Words, words_of

TOKENS, LEAST = 4_000_000, 32  # genes of cells that an epoch shows, and the least items it has
FIRST = 1 << 20  # the epoch of the draws for validation: no epoch of training


class Batch(NamedTuple):
    """Conditions, and `cells` controls of each: x float32 (n, cells, genes), change float32 (n, genes).

    `y` are perturbed cells (n, cells, genes), where the loss compares cells too, else None.
    """

    rows: np.ndarray
    x: np.ndarray
    words: Words
    change: np.ndarray
    y: np.ndarray | None


class Source:
    """Items of both parts for the torch loop: where they are many, an epoch shows some of them."""

    def __init__(
        self,
        data: ResponseData,
        lessons: tuple[Lesson, Lesson],
        columns: np.ndarray,
        words: tuple[Mapping[str, int], Mapping[str, int]],
        *,
        cells: int,
        compare: bool,
    ) -> None:
        """`columns` are the genes that the network sees; `cells` controls are drawn for an item."""
        self._data, self._columns, self._cells, self._compare = data, columns, cells, compare
        self._words = words
        self._all = Lesson(*(np.concatenate(both) for both in zip(*lessons)))
        self._taught = len(lessons[0].n)
        most = max(LEAST, TOKENS // (cells * len(columns)))
        self.train = np.arange(min(self._taught, most))
        self.val = np.arange(self._taught, self._taught + min(len(lessons[1].n), most))

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """Items in batches, with controls drawn for this epoch; in training so many of all items."""
        rng = np.random.default_rng([seed, epoch if shuffle else FIRST])
        order = rng.permutation(self._taught)[: len(rows)] if shuffle else rows
        for place, start in enumerate(range(0, len(order), size)):
            some = order[start : start + size]
            controls, own = self._drawn(some, rng)  # of all the batch: shares are parts of it
            mine = np.isin(some, share.of(some, place))
            if mine.any():
                yield self._batch(some[mine], controls[mine], None if own is None else own[mine])

    def fingerprint(self) -> str:
        """A name for exactly these items."""
        told = json.dumps([self._cells, self._compare, self._data.fingerprint()])
        digest = hashlib.sha256(told.encode())
        digest.update(self._columns.tobytes() + self._all.change.tobytes())
        return digest.hexdigest()

    def _drawn(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Control cells of items, and perturbed ones where the loss compares cells."""
        codes, strata = self._all.condition[rows], self._all.stratum[rows]
        each = [self._data.controls(int(s)) for s in strata]
        controls = np.stack([rng.choice(cells, self._cells) for cells in each])
        if not self._compare:
            return controls, None
        own = [self._perturbed(int(c), int(s)) for c, s in zip(codes, strata)]
        return controls, np.stack([rng.choice(cells, self._cells) for cells in own])

    def _batch(self, rows: np.ndarray, controls: np.ndarray, perturbed: np.ndarray | None) -> Batch:
        conditions = [self._data.told.conditions[code] for code in self._all.condition[rows]]
        words = words_of(conditions, *self._words, fresh=self._all.fresh[rows])
        change = self._all.change[rows][:, self._columns]
        y = None if perturbed is None else self._values(perturbed)
        return Batch(rows, self._values(controls), words, change, y)

    def _perturbed(self, code: int, stratum: int) -> np.ndarray:
        data = self._data
        every = np.concatenate([data.train, data.val])
        chosen = (data.told.screen.codes[every] == code) & (data.told.groups[every] == stratum)
        return every[chosen]

    def _values(self, rows: np.ndarray) -> np.ndarray:
        """Float32 (*rows.shape, genes of the network)."""
        flat, place = np.unique(rows, return_inverse=True)
        values = self._data.x(flat)[:, self._columns].toarray()
        return values[place.reshape(rows.shape)]
