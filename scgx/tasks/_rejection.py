"""What confidence is good for: errors among the surest cells, and types that the model never saw."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from scgx.metrics._calls import Array
from scgx.tasks._answers import NOVELTY, FileAnswers, walk
from scgx.tasks._scores import Extra

COVERAGES = (0.25, 0.5, 0.75, 0.9, 0.95, 1.0)


def rejection(
    name: str, answers: FileAnswers, truth: Array, classes: tuple[str, ...]
) -> Iterator[Extra]:
    """Error by coverage; and, where the truth has types that the guess does not know, their AUROC.

    Nothing for a guess without probabilities. Both are of the likeliest class, answered or not.
    """
    parts = np.zeros(len(truth), dtype=np.int64)
    sure, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for calls in walk(answers, truth, parts, classes):
        if calls.confidence is None:
            return
        sure.append(calls.confidence)
        right.append(calls.truth == calls.best)
    confidence, wrong = np.concatenate(sure), ~np.concatenate(right)
    rows = tuple(_risk(confidence, wrong, share) for share in COVERAGES)
    yield Extra("error of the surest cells", name, ("coverage", "cells", "p >=", "error"), rows)
    known = np.array([word in answers.classes for word in classes], dtype=bool)[truth]
    if known.any() and not known.all():
        told = {"1 - p of the likeliest class": 1 - confidence}
        if (novelty := _novelty(answers)) is not None:
            told[NOVELTY] = novelty
        cells = (int(known.sum()), int((~known).sum()))
        columns = ("by", "cells of known types", "of unknown types", "auroc")
        lines = tuple((word, *cells, auroc(values, ~known)) for word, values in told.items())
        yield Extra("telling unknown types apart", name, columns, lines)


def _novelty(answers: FileAnswers) -> Array | None:
    """The novelty of the scored cells (n,); None where the file does not tell it of each."""
    if (answers.rows < 0).any() or NOVELTY not in answers.cells.obs:
        return None
    found = answers.cells.obs.numbers(NOVELTY)[answers.rows]
    return found if np.isfinite(found).all() else None


def auroc(score: Array, positive: Array) -> float:
    """The chance that a positive (n,) scores higher than another, ties one half; both exist."""
    n = int(positive.sum())
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(score) - n)))


def _risk(confidence: Array, wrong: Array, share: float) -> tuple[float, int, float, float]:
    """Coverage reached, cells, least confidence and error; cells of equal confidence go together."""
    least = np.sort(confidence)[::-1][max(1, int(np.ceil(share * len(confidence)))) - 1]
    taken = confidence >= least
    return float(taken.mean()), int(taken.sum()), float(least), float(wrong[taken].mean())
