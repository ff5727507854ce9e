"""What a guess says of each scored cell: its class, and the probabilities of all classes.

Read a block of cells at a time, in the order of the scored rows, since cells x classes may be large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.arrays import rows_of
from scgx.h5ad.cells import Cells
from scgx.metrics._calls import Array, Calls

LABEL, UNKNOWN, NOVELTY = "scgx_label", "scgx_unknown", "scgx_novelty"
PROBABILITIES = "obsm/scgx_prob"
ROWS = 16_384


class Answers(Protocol):
    """Classes that can be answered, and the answers for scored cells start..stop."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def calls(self, truth: Array, parts: Array, place: Array, rows: slice) -> Calls:
        """`truth` and `parts` of those cells; `place` (own classes,) are codes of the design."""
        ...


@dataclass(frozen=True)
class Held:
    """Probabilities in memory, float (n, classes); the first of equals is the answer."""

    classes: tuple[str, ...]
    probability: Array

    def calls(self, truth: Array, parts: Array, place: Array, rows: slice) -> Calls:
        """The likeliest class of each."""
        found = self.probability[rows].astype(np.float64)
        best = place[found.argmax(axis=1)]
        return Calls(truth, best, best, parts, _spread(found, place), found.max(axis=1))


@dataclass(frozen=True)
class Constant:
    """The same probabilities for each cell."""

    classes: tuple[str, ...]
    probability: Array  # (classes,)

    def calls(self, truth: Array, parts: Array, place: Array, rows: slice) -> Calls:
        """The likeliest class, for all."""
        found = np.tile(self.probability, (len(truth), 1))
        best = place[found.argmax(axis=1)]
        return Calls(truth, best, best, parts, _spread(found, place), found.max(axis=1))


@dataclass(frozen=True)
class Drawn:
    """A class per cell and no probabilities."""

    classes: tuple[str, ...]
    codes: Array  # (n,) into classes

    def calls(self, truth: Array, parts: Array, place: Array, rows: slice) -> Calls:
        """As drawn."""
        best = place[self.codes[rows]]
        return Calls(truth, best, best, parts)


@dataclass(frozen=True)
class FileAnswers:
    """A file of guesses: `rows` (n,) of it for the scored cells, -1 where it has none."""

    cells: Cells
    rows: Array
    classes: tuple[str, ...]
    codes: Array  # (all its cells,) into classes, -1 missing
    unknown: Array  # bool (all its cells,)
    offered: tuple[str, ...]  # columns of its probabilities; empty where it has none

    @classmethod
    def of(cls, cells: Cells, rows: Array) -> FileAnswers:
        """DataError where the file has no labels."""
        if LABEL not in cells.obs:
            raise DataError(
                f"obs has no {LABEL}",
                fix="scgx classify writes it; labels of other tools go there under that name",
                file=cells.name,
            )
        words = cells.obs.strings(LABEL)
        stored = cells.scgx.get("classes")
        offered: tuple[str, ...] = ()
        if isinstance(stored, np.ndarray) and PROBABILITIES.split("/")[1] in cells.keys("obsm"):
            offered = tuple(str(name) for name in stored)
        named = dict.fromkeys([*offered, *sorted({w for w in words if w is not None})])
        place = {name: code for code, name in enumerate(named)}
        codes = np.array([-1 if w is None else place[w] for w in words], dtype=np.int64)
        unknown = np.zeros(len(words), dtype=bool)
        if UNKNOWN in cells.obs:
            unknown = cells.obs.numbers(UNKNOWN) == 1
        return cls(cells, rows, tuple(named), codes, unknown, offered)

    def calls(self, truth: Array, parts: Array, place: Array, rows: slice) -> Calls:
        """Cells that the file lacks, or calls unknown, are unanswered; the former have p = 0."""
        here = self.rows[rows]
        there = here >= 0
        own = np.where(there, self.codes[here], -1)
        best = np.where(own >= 0, place[own], -1)
        guess = np.where(there & ~self.unknown[here], best, -1)
        if not self.offered:
            return Calls(truth, guess, best, parts)
        found = np.zeros((len(here), len(self.offered)))
        if there.any():
            found[there] = self._read(here[there])
        spread = _spread(found, place[: len(self.offered)])
        return Calls(truth, guess, best, parts, spread, found.max(axis=1))

    def _read(self, here: Array) -> Array:
        """Probabilities of some rows; those between them too where they lie close."""
        low, high = int(here.min()), int(here.max()) + 1
        if high - low <= 4 * len(here) + ROWS:
            return self._checked(rows_of(self.cells, PROBABILITIES, low, high))[here - low]
        found = np.empty((len(here), len(self.offered)))
        for start in range(low, high, ROWS):
            inside = (here >= start) & (here < start + ROWS)
            if inside.any():
                block = rows_of(self.cells, PROBABILITIES, start, min(start + ROWS, high))
                found[inside] = self._checked(block)[here[inside] - start]
        return found

    def _checked(self, block: Array) -> Array:
        values = block.astype(np.float64)
        good = values.shape[1] == len(self.offered) and np.isfinite(values).all()
        if not good or values.min(initial=0) < 0 or (np.abs(values.sum(axis=1) - 1) > 1e-3).any():
            raise DataError(
                f"{PROBABILITIES} holds no probabilities of its {len(self.offered)} classes",
                fix="scgx classify writes them",
                file=self.cells.name,
            )
        return values


def walk(answers: Answers, truth: Array, parts: Array, classes: tuple[str, ...]) -> Iterator[Calls]:
    """Calls of all scored cells, a block at a time."""
    position = {name: code for code, name in enumerate(classes)}
    place = np.array([position[name] for name in answers.classes], dtype=np.int64)
    for start in range(0, len(truth), ROWS):
        rows = slice(start, min(start + ROWS, len(truth)))
        calls = answers.calls(truth[rows], parts[rows], place, rows)
        if calls.probability is not None and calls.probability.shape[1] < len(classes):
            more = len(classes) - calls.probability.shape[1]
            wide = np.pad(calls.probability, ((0, 0), (0, more)))
            calls = Calls(calls.truth, calls.guess, calls.best, calls.parts, wide, calls.confidence)
        yield calls


def _spread(probability: Array, place: Array) -> Array:
    """Columns put where the design has them; what is not offered is 0."""
    wide = np.zeros((len(probability), int(place.max(initial=-1)) + 1))
    wide[:, place] = probability
    return wide
