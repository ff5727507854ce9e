"""Each class against all the others by least squares, then probabilities from cells held out.

A rare class whose cells look like those of every other class, platelets stuck to lymphocytes say, is
lost on multinomial regression: what sets it apart has to outweigh what its cells share with the other
classes. Regression on "is it this class" has no such contest, for what varies among all the others is
whitened away (Fisher 1936). Its scores are no probabilities, and on training cells they flatter; so
they are made for cells held out, whole groups where the split has them, and a small multinomial
regression on these turns scores into probabilities. All is linear: a coefficient per feature and class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import linalg

from scgx.learn.config import knob
from scgx.learn.labels import LabelledData
from scgx.learn.multinomial import regress
from scgx.learn.selection import fold_of
from scgx.models._linear import Linear
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
ROWS = 2_048
MOST_JUDGED = 50_000  # held-out cells that teach probabilities


@dataclass(frozen=True)
class Config:
    """How strongly coefficients are held down, and how much rare classes count."""

    ridge: float = knob(0.3, least=1e-6)  # penalty, in mean variances of a feature
    features: int = knob(3_000, least=1)  # the most variable are read, so many at most
    folds: int = knob(10, least=2)  # groups or cells are held out in so many parts at most
    balance: float = knob(0.3, least=0, most=1)  # of probabilities: 0 as frequent, 1 all alike


class Model(Linear):
    """A coefficient per feature and class."""

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Sums of products over all rows, less those of a fold at a time; then of none."""
        variance = data.moments.variance
        chosen = np.sort(np.argsort(-variance, kind="stable")[: config.features])
        rows, fold = data.train, _folds(data, config.folds, seed=seed)
        every = _sums(data, rows, chosen)
        held = np.zeros((len(rows), len(data.classes)))
        with report.bar("held out", int(fold.max()) + 1) as advance:
            for out in range(int(fold.max()) + 1):
                mine = np.flatnonzero(fold == out)
                found = _solved(every.less(_sums(data, rows[mine], chosen)), config.ridge)
                for part, x in _dense(data, rows[mine], chosen):
                    held[mine[part]] = x @ found.slope + found.intercept
                advance(1)
        spread = held.std(axis=0)
        scale = 1 / np.where(spread > 0, spread, 1)
        judged = np.arange(len(rows))
        if len(rows) > MOST_JUDGED:
            judged = np.sort(
                np.random.default_rng(seed).choice(len(rows), MOST_JUDGED, replace=False)
            )
        weight = data.weight(rows[judged]).astype(np.float64) ** config.balance
        taught = regress(held[judged] * scale, data.y(rows[judged]), weight, len(data.classes))
        turned = taught[:-1] * scale[:, None]
        found = _solved(every, config.ridge)
        slope = np.zeros((len(variance), len(data.classes)), np.float32)
        slope[chosen] = found.slope @ turned
        intercept = found.intercept @ turned + taught[-1]
        mean = np.zeros(len(variance), np.float32)
        mean[chosen] = every.x.sum(axis=1) / len(rows)
        return cls(slope, intercept.astype(np.float32), mean)


class _Sums(NamedTuple):
    """Over some rows: products of features (p, p), features of each class (p, k), rows of each (k,)."""

    products: np.ndarray
    x: np.ndarray
    n: np.ndarray

    def less(self, other: "_Sums") -> "_Sums":
        return _Sums(*(mine - its for mine, its in zip(self, other, strict=True)))


class _Solved(NamedTuple):
    """Scores are x @ slope + intercept."""

    slope: np.ndarray
    intercept: np.ndarray


def _folds(data: LabelledData, most: int, *, seed: int) -> np.ndarray:
    """The fold of each training row; a cell's copies are with it."""
    cells = data.cells_train
    groups = None if data.groups is None else data.groups[cells]
    fold = fold_of(groups, len(cells), seed=seed, most=most)
    return np.tile(fold, len(data.train) // len(cells))


def _dense(
    data: LabelledData, rows: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Inputs of some rows at a time, float32 (rows, chosen)."""
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        yield part, data.x(rows[part])[:, chosen].toarray()


def _sums(data: LabelledData, rows: np.ndarray, chosen: np.ndarray) -> _Sums:
    width, classes = len(chosen), len(data.classes)
    made = _Sums(np.zeros((width, width)), np.zeros((width, classes)), np.zeros(classes))
    for part, x in _dense(data, rows, chosen):
        truth = np.eye(classes, dtype=np.float32)[data.y(rows[part])]
        made.products[:] += x.T @ x
        made.x[:] += x.T @ truth
        made.n[:] += truth.sum(axis=0)
    return made


def _solved(sums: _Sums, ridge: float) -> _Solved:
    """Least squares for "is it this class", scaled so that rare classes have scores as large."""
    n = max(float(sums.n.sum()), 1.0)
    mean = sums.x.sum(axis=1) / n
    spread = sums.products / n - np.outer(mean, mean)
    variance = float(np.trace(spread)) / len(spread)
    spread[np.diag_indices(len(spread))] += ridge * max(variance, 1e-12)
    known = sums.n > 0
    apart = np.where(known, sums.x / np.where(known, sums.n, 1) - mean[:, None], 0)
    slope = linalg.solve(spread, apart, assume_a="pos")
    return _Solved(slope, -mean @ slope)
