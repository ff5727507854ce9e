"""Credit for a wrong fine type inside the right class, through the label map of the model."""

from collections.abc import Iterator, Mapping

import numpy as np

from scgx.metrics._calls import Array, Calls, Design, Tally, mean_of
from scgx.tasks._answers import FileAnswers, walk
from scgx.tasks._scores import Extra


def through_map(
    name: str,
    answers: FileAnswers,
    truth: Array,
    classes: tuple[str, ...],
    coarse: Mapping[str, str],
) -> Iterator[Extra]:
    """Accuracy and macro F1 of coarse classes; nothing without a map of every class of the guess.

    A true type that the map lacks is its own coarse class, which no guess can reach.
    """
    if not coarse or not set(answers.classes) <= set(coarse):
        return
    words = [coarse.get(word, word) for word in classes]
    names = tuple(sorted(set(words)))
    into = np.array([names.index(word) for word in words], dtype=np.int64)
    tally = Tally(Design.plain(names))
    parts = np.zeros(len(truth), dtype=np.int64)
    exact = 0
    for calls in walk(answers, truth, parts, classes):
        exact += int((calls.truth == calls.guess).sum())
        guess = np.where(calls.guess >= 0, into[calls.guess], -1)
        tally.add(Calls(into[calls.truth], guess, guess, calls.parts))
    total = tally.total
    right = float(total.right.sum() / total.n)
    rows = (
        ("accuracy of fine types", exact / len(truth)),
        ("accuracy of coarse types", right),
        ("f1_macro of coarse types", float(mean_of(total.f1()))),
        ("credit: fine 1, only coarse 1/2", (exact / len(truth) + right) / 2),
    )
    yield Extra("through the label map", name, ("metric", "value"), rows)
