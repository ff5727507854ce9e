"""What every metric of labels sees: true and guessed classes of some cells, and their probabilities.

Cells come in blocks and belong to parts (a donor, or a random share), and sums are kept per part: a
bootstrap draw is then a weighted sum of parts and never a resampled array. Classes are those of the
truth and of the guess together. A cell that was left unanswered is wrong, and guesses no class.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from scgx.metrics._panel import Result

Array = np.ndarray


@dataclass(frozen=True)
class Design:
    """Classes by name, and how often each draw takes each part: `weights` (draws, parts)."""

    classes: tuple[str, ...]
    weights: Array

    @property
    def n_parts(self) -> int:
        return self.weights.shape[1]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @classmethod
    def plain(cls, classes: tuple[str, ...]) -> "Design":
        """One part and no bootstrap: for a metric on its own."""
        return cls(classes, np.zeros((0, 1)))


@dataclass(frozen=True)
class Calls:
    """Some cells: true class and guess as codes (n,), guess -1 where unanswered; parts (n,).

    `best` (n,) is the likeliest class, answered or not. `probability` is float64 (n, classes), or None
    where the guess gives none; a class that the guess does not offer has 0. `confidence` (n,) is the
    largest of them, or None.
    """

    truth: Array
    guess: Array
    best: Array
    parts: Array
    probability: Array | None = None
    confidence: Array | None = None

    def take(self, rows: Array) -> "Calls":
        """Some of the cells."""
        taken = (
            None if each is None else each[rows] for each in (self.probability, self.confidence)
        )
        plain = (each[rows] for each in (self.truth, self.guess, self.best, self.parts))
        return Calls(*plain, *taken)

    def in_one_part(self) -> "Calls":
        """The same cells, all of them in part 0."""
        return replace(self, parts=np.zeros_like(self.parts))


class Counts(NamedTuple):
    """Cells per class, arrays (..., classes): right ones, true ones, guessed ones; n is (...,)."""

    right: Array
    true: Array
    guessed: Array
    n: Array

    def f1(self) -> Array:
        """2 right / (true + guessed); 0 for a class without right ones, NaN where it is on no side."""
        both = self.true + self.guessed
        return np.where(both > 0, 2 * self.right / np.where(both > 0, both, 1), np.nan)

    def recall(self) -> Array:
        """right / true; NaN where the truth lacks the class."""
        return np.where(self.true > 0, self.right / np.where(self.true > 0, self.true, 1), np.nan)

    def precision(self) -> Array:
        """right / guessed; 0 where none was guessed, NaN where the class is on no side."""
        made = np.where(
            self.guessed > 0, self.right / np.where(self.guessed > 0, self.guessed, 1), 0
        )
        return np.where(self.true + self.guessed > 0, made, np.nan)


class Tally:
    """Counts per part, block by block; over all parts, and for each draw."""

    def __init__(self, design: Design) -> None:
        self._shape = (design.n_parts, design.n_classes)
        self._weights = design.weights
        self._sums = np.zeros((3, *self._shape))
        self._n = np.zeros(design.n_parts)

    def add(self, calls: Calls) -> None:
        """Take in some cells."""
        right = np.where(calls.truth == calls.guess, calls.truth, -1)
        for i, codes in enumerate((right, calls.truth, calls.guess)):
            kept = codes >= 0
            flat = calls.parts[kept] * self._shape[1] + codes[kept]
            found = np.bincount(flat, minlength=self._shape[0] * self._shape[1])
            self._sums[i] += found.reshape(self._shape)
        self._n += np.bincount(calls.parts, minlength=self._shape[0])

    @cached_property
    def total(self) -> Counts:
        """Over all cells."""
        right, true, guessed = self._sums.sum(axis=1)
        return Counts(right, true, guessed, self._n.sum())

    @cached_property
    def drawn(self) -> Counts:
        """For each bootstrap draw, arrays (draws, classes)."""
        right, true, guessed = (self._weights @ each for each in self._sums)
        return Counts(right, true, guessed, self._weights @ self._n)


class PerCell:
    """A mean over cells of one number each, with its draws."""

    def __init__(self, design: Design) -> None:
        self._weights = design.weights
        self._sums, self._n = np.zeros(design.n_parts), np.zeros(design.n_parts)
        self.odd = 0  # cells whose value had to be clipped

    def add(self, values: Array, parts: Array, odd: int = 0) -> None:
        """Values (n,) of cells in parts (n,)."""
        self._sums += np.bincount(parts, weights=values, minlength=len(self._sums))
        self._n += np.bincount(parts, minlength=len(self._n))
        self.odd += odd

    def result(self, note: str = "no probabilities") -> Result:
        """The mean; None, with the note, where nothing was added."""
        n = int(self._n.sum())
        if n == 0:
            return Result(None, np.zeros(0), 0, note=note)
        draws = (self._weights @ self._sums) / np.maximum(self._weights @ self._n, 1)
        return Result(float(self._sums.sum() / n), draws, n, self.odd)


def mean_of(values: Array) -> Array:
    """The mean over the last axis of what is not NaN; NaN where nothing is left."""
    counted = np.isfinite(values)
    n = counted.sum(axis=-1)
    total = np.where(counted, values, 0).sum(axis=-1)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def over_classes(value: Array, draws: Array, per_class: Array) -> Result:
    """A result whose units are classes."""
    n = int(np.isfinite(per_class).sum())
    if not np.isfinite(value):
        return Result(None, np.zeros(0), n, features=per_class, note="no class can be scored")
    return Result(float(value), draws, n, features=per_class)


def macro_f1(tally: Tally) -> Result:
    """Mean F1 over classes on either side; `features` has the F1 of each."""
    f1 = tally.total.f1()
    return over_classes(mean_of(f1), mean_of(tally.drawn.f1()), f1)
