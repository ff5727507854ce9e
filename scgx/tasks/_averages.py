"""Precision and recall as one number, four ways; and how far down the list the truth is."""

from collections.abc import Callable, Iterator

import numpy as np

from scgx.metrics._calls import Array, Counts, Tally, mean_of
from scgx.tasks._answers import FileAnswers, walk
from scgx.tasks._bootstrap import interval
from scgx.tasks._scores import Extra

DEPTHS = (1, 2, 3, 5, 10)


def per_class(name: str, total: Counts, classes: tuple[str, ...]) -> Extra:
    """Support, precision, recall and F1 of every class on either side."""
    values = (total.precision(), total.recall(), total.f1())
    rows = []
    for code, word in enumerate(classes):
        if total.true[code] + total.guessed[code] == 0:
            continue
        each = (float(v[code]) if np.isfinite(v[code]) else None for v in values)
        rows.append((word, int(total.true[code]), int(total.guessed[code]), *each))
    columns = ("class", "cells", "guessed", "precision", "recall", "f1")
    return Extra("per class", name, columns, tuple(rows))


def averages(name: str, tally: Tally) -> Extra:
    """Macro, weighted, micro and median precision, recall and F1 with intervals.

    As scikit-learn has them: a class of one side only counts with 0 in macro, and the median is over
    the classes of the truth.
    """
    rows = []
    for word, per_class, pooled in _MEASURES:
        for way, reduce in _WAYS.items():
            value, draws = (reduce(c, per_class(c), pooled(c)) for c in (tally.total, tally.drawn))
            bounds = interval(np.atleast_1d(draws), float(value)) or (None, None)
            rows.append((word, way, float(value), *bounds))
    return Extra("averages", name, ("measure", "average", "value", "low", "high"), tuple(rows))


def top_k(
    name: str, answers: FileAnswers, truth: Array, classes: tuple[str, ...]
) -> Iterator[Extra]:
    """The share of cells whose true class is among the k likeliest; nothing without probabilities.

    Rank is 1, and 1 for each class above, and 1/2 for each other with the same probability.
    """
    deepest = [k for k in DEPTHS if k < len(answers.classes)]
    within = np.zeros(len(deepest))
    for calls in walk(answers, truth, np.zeros(len(truth), np.int64), classes):
        if calls.probability is None:
            return
        own = calls.probability[np.arange(len(calls.truth)), calls.truth][:, None]
        ties = (calls.probability == own).sum(axis=1) - 1
        rank = 1 + (calls.probability > own).sum(axis=1) + ties / 2
        within += (rank[:, None] <= deepest).sum(axis=0)
    rows = tuple(zip(deepest, (within / len(truth)).tolist(), strict=True))
    yield Extra("truth among the k likeliest", name, ("k", "share of cells"), rows)


_Pooled = Callable[[Counts], Array]
_MEASURES: tuple[tuple[str, _Pooled, _Pooled], ...] = (
    ("precision", Counts.precision, lambda c: _ratio(c.right, c.guessed)),
    ("recall", Counts.recall, lambda c: _ratio(c.right, c.true)),
    ("f1", Counts.f1, lambda c: _ratio(2 * c.right, c.true + c.guessed)),
)


def _macro(counts: Counts, each: Array, pooled: Array) -> Array:
    return mean_of(np.where(counts.true + counts.guessed > 0, np.nan_to_num(each), np.nan))


def _weighted(counts: Counts, each: Array, pooled: Array) -> Array:
    total = np.maximum(counts.true.sum(axis=-1), 1)
    weighted: Array = (np.nan_to_num(each) * counts.true).sum(axis=-1) / total
    return weighted


def _micro(counts: Counts, each: Array, pooled: Array) -> Array:
    return pooled


def _median(counts: Counts, each: Array, pooled: Array) -> Array:
    there = np.where(counts.true > 0, np.nan_to_num(each), np.nan)
    median: Array = np.nanmedian(there, axis=-1)
    return median


_WAYS = {"macro": _macro, "weighted": _weighted, "micro": _micro, "median": _median}


def _ratio(above: Array, below: Array) -> Array:
    made: Array = above.sum(axis=-1) / np.maximum(below.sum(axis=-1), 1)
    return made
