"""What every metric sees: all scored cells of a few features, and the sums that metrics share.

A panel goes by columns, for ranks need the whole column, and everything else is a sum that does
not care. The walk over a file wider than memory is then a walk over panels. Sums are kept per part
of the cells (a donor, a batch, or a random share), so that a bootstrap draw is a weighted sum of
parts and never a resampled array: 1,000 draws cost one matrix product.

Per column the first cell's value is subtracted before anything is squared. A constant column is
then exactly zero, and no digits are lost where the variance is small beside the mean.

Where the truth was not measured (`known` is false) there is nothing to compare: such an entry counts in
no sum and in no number of cells, which then differs by column.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.metrics._ranks import midranks

Array = np.ndarray

NOISE = 5e-7  # a spread below this share of the value is float32 rounding, hence constant


@dataclass(frozen=True)
class Design:
    """Which part and which type a scored cell belongs to, and what the training rows said.

    `parts` (n,) are codes of the bootstrap, `weights` (draws, parts) how often each is drawn;
    `types` (n,) are codes into `type_names`, -1 for a cell of no or of too rare a type. `variable`
    (features,) marks the gene set that is reported beside all. `train_mean` and `rival` (r per
    feature of the strongest baseline) are (features,) or None.
    """

    n_features: int
    parts: Array
    weights: Array
    types: Array | None = None
    type_names: tuple[str, ...] = ()
    variable: Array | None = None
    train_mean: Array | None = None
    rival: Array | None = None

    @property
    def n_cells(self) -> int:
        return len(self.parts)

    @property
    def n_parts(self) -> int:
        return self.weights.shape[1]

    def subsets(self) -> dict[str, Array]:
        """The gene sets that results are asked for, as masks over features."""
        everything = {"": np.ones(self.n_features, dtype=bool)}
        return everything if self.variable is None else {**everything, "variable": self.variable}

    @classmethod
    def plain(cls, n_cells: int, n_features: int) -> "Design":
        """One part, no types, no bootstrap: for a metric on its own."""
        return cls(n_features, np.zeros(n_cells, dtype=np.intp), np.zeros((0, 1)))


class Result(NamedTuple):
    """A metric's value, its bootstrap draws, and on how many units it rests.

    `value` is None where the metric is not defined, and `note` then says why. `features` is the
    value per feature (NaN where a feature does not count), where there is one.
    """

    value: float | None
    draws: Array
    n: int
    n_degenerate: int = 0
    features: Array | None = None
    note: str = ""


class Moments(NamedTuple):
    """Sums over cells of shifted truth t and guess p: shapes (..., features); n is (..., 1), or
    (..., features) where columns rest on different cells.
    """

    n: Array
    t: Array
    p: Array
    tt: Array
    pp: Array
    tp: Array
    shift_t: Array
    shift_p: Array

    @classmethod
    def of(cls, sums: Iterable[Array], shift_t: Array, shift_p: Array) -> "Moments":
        """From the six sums, in the order of the fields."""
        n, t, p, tt, pp, tp = sums
        return cls(n, t, p, tt, pp, tp, shift_t, shift_p)

    def spread(self) -> tuple[Array, Array, Array]:
        """Sums of squares of t and of p and of products, about the means."""
        n = np.maximum(self.n, 1)
        return (
            self.tt - self.t * self.t / n,
            self.pp - self.p * self.p / n,
            self.tp - self.t * self.p / n,
        )

    def constant(self, squares: Array, spread: Array, shift: Array) -> Array:
        """Where a column does not vary, rounding aside."""
        return ~(spread > 1e-12 * squares + self.n * (NOISE * shift) ** 2)

    def errors(self) -> Array:
        """Sum of (truth - guess)^2."""
        gap = self.shift_t - self.shift_p
        squares = self.tt - 2 * self.tp + self.pp + 2 * gap * (self.t - self.p) + self.n * gap * gap
        return np.maximum(squares, 0)

    def truth_about(self, centre: Array) -> Array:
        """Sum of (truth - centre)^2."""
        off = centre - self.shift_t
        return np.maximum(self.tt - 2 * off * self.t + self.n * off * off, 0)

    def mean_error(self) -> Array:
        """Mean of (truth - guess)^2; NaN where there is no cell."""
        n = np.broadcast_to(self.n, self.t.shape)
        return np.where(n > 0, self.errors() / np.maximum(n, 1), np.nan)

    def truth_spread(self) -> tuple[Array, Array]:
        """Sum of squares of the truth about its mean, and where the truth is constant."""
        spread = self.spread()[0]
        return spread, self.constant(self.tt, spread, self.shift_t)

    def over_parts(self) -> "Moments":
        """Summed over the leading axis."""
        sums = [x.sum(axis=0) for x in self[:6]]
        return Moments.of(sums, self.shift_t, self.shift_p)

    def drawn(self, weights: Array) -> "Moments":
        """Each bootstrap draw's sums: weights (draws, parts) times parts."""
        sums = [weights @ x for x in self[:6]]
        return Moments.of(sums, self.shift_t, self.shift_p)


def pearson(m: Moments) -> tuple[Array, Array]:
    """r per column, and where it is degenerate (no variance on a side): r is 0 there, and NaN where
    there is no cell.
    """
    tt, pp, tp = m.spread()
    flat = m.constant(m.tt, tt, m.shift_t) | m.constant(m.pp, pp, m.shift_p)
    scale = np.sqrt(np.where(flat, 1.0, tt)) * np.sqrt(np.where(flat, 1.0, pp))
    r = np.clip(np.where(flat, 0.0, tp / scale), -1.0, 1.0)
    return np.where(m.n > 0, r, np.nan), flat


@dataclass
class Side:
    """One side of a panel: values (n, c) float64, and their mid-ranks when asked. `known` (n, c), or
    None for all, says which are compared; the values of the others are 0.
    """

    values: Array
    known: Array | None = None

    @cached_property
    def ranks(self) -> Array:
        """Mid-ranks down each column, from 1, among the values that are compared."""
        if self.known is None:
            return midranks(self.values)
        return midranks(np.where(self.known, self.values, np.inf))

    @classmethod
    def of(cls, values: Array, known: Array | None = None) -> "Side":
        """A side whose values that are not compared are removed."""
        values = np.asarray(values, dtype=np.float64)
        return cls(values if known is None else np.where(known, values, 0.0), known)


@dataclass
class Panel:
    """Truth and guess for all scored cells and the features `columns`."""

    truth: Side
    guess: Side
    columns: slice
    design: Design

    @classmethod
    def of(cls, truth: Array, guess: Array, columns: slice, design: Design) -> "Panel":
        """A panel from two dense arrays (n, c)."""
        left, right = (Side(np.asarray(side, dtype=np.float64)) for side in (truth, guess))
        return cls(left, right, columns, design)

    @property
    def known(self) -> Array | None:
        """Which entries of the truth were measured, bool (n, c); None for all."""
        return self.truth.known

    @cached_property
    def by_type(self) -> Moments | None:
        """Sums per type and part: arrays (types, parts, c); None without types."""
        design = self.design
        if design.types is None or not design.type_names:
            return None
        known = design.types >= 0
        codes = np.where(known, design.types * design.n_parts + design.parts, -1)
        shape = (len(design.type_names), design.n_parts)
        flat = sums(self.truth.values, self.guess.values, codes, shape[0] * shape[1], self.known)
        parts = [x.reshape(*shape, -1) for x in flat[:6]]
        return Moments.of(parts, flat.shift_t, flat.shift_p)

    @cached_property
    def parts(self) -> Moments:
        """Sums per part: arrays (parts, c)."""
        design = self.design
        sides = self.truth.values, self.guess.values
        return sums(*sides, design.parts, design.n_parts, self.known)

    @cached_property
    def rank_parts(self) -> Moments:
        """The same sums of mid-ranks."""
        design = self.design
        sides = self.truth.ranks, self.guess.ranks
        return sums(*sides, design.parts, design.n_parts, self.known)

    @cached_property
    def moments(self) -> Moments:
        """Sums over all scored cells: arrays (c,)."""
        return self.parts.over_parts()

    @cached_property
    def drawn(self) -> Moments:
        """Sums of each bootstrap draw: arrays (draws, c)."""
        return self.parts.drawn(self.design.weights)


def sums(
    truth: Array, guess: Array, codes: Array, n_codes: int, known: Array | None = None
) -> Moments:
    """Moments per code (-1 = left out), about the first row: arrays (codes, c); of `known` entries."""
    kept = np.flatnonzero(codes >= 0)
    marks = (np.ones(len(kept)), (codes[kept], kept))
    pick = sparse.csr_array(marks, shape=(n_codes, len(codes)))
    first = 0 if known is None else known.argmax(axis=0)
    at = first, np.arange(truth.shape[1])
    shift_t, shift_p = (
        side[at].copy() if len(side) else np.zeros(side.shape[1]) for side in (truth, guess)
    )
    t, p = truth - shift_t, guess - shift_p
    n = np.bincount(codes[kept], minlength=n_codes).astype(np.float64)[:, None]
    if known is not None:
        t, p = np.where(known, t, 0.0), np.where(known, p, 0.0)
        n = pick @ known.astype(np.float64)
    return Moments(
        n, pick @ t, pick @ p, pick @ (t * t), pick @ (p * p), pick @ (t * p), shift_t, shift_p
    )
