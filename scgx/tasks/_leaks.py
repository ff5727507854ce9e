"""How much of a score is knowing the donor: the same model, the same sizes, another way to deal cells.

Cells of one donor resemble each other. Where some of a donor's cells train and others test, a model is
paid for knowing the donor; the score of a split that keeps donors apart does not pay for that. Both
are measured with a fast model, and the difference is what a random split would have claimed too much.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.metrics._calls import Array, Design
from scgx.tasks._answers import Answers, walk
from scgx.tasks._evaluate import metric
from scgx.tasks._scores import Extra

MODEL = "logistic"
METRICS = ("f1_macro", "accuracy", "balanced_accuracy")
SLIGHT = 0.01  # a smaller difference is no more than what another random split would give

Fitted = Callable[..., Answers]


class Dealt(NamedTuple):
    """A way to deal cells: the part of every cell, object (n,), and the rows that test."""

    parts: Array
    rows: Array


def leaks(
    truth: Cells, column: str, by: str, rows: Array, *, fitted: Fitted, seed: int
) -> tuple[Extra, str]:
    """The table, and what it means. `rows` are the scored rows of the split by `by`.

    `fitted(model, rows, column, parts=words)` fits on the rows whose part is train and answers `rows`.
    """
    if not by:
        raise DataError(
            "--leak-check compares a random split with one that keeps groups together",
            fix="scgx split --by donor, then train and score",
            file=truth.name,
        )
    words = truth.obs.strings(column)
    parts = truth.obs.strings("split")
    found = {}
    for name, dealt in {
        "grouped": Dealt(parts, rows),
        "random": _at_random(parts, words, len(rows), seed),
    }.items():
        answers = fitted(MODEL, dealt.rows, column, parts=dealt.parts)
        found[name] = _scored(answers, words[dealt.rows])
    lines = tuple(
        (key, found["grouped"][key], found["random"][key], found["random"][key] - value)
        for key, value in found["grouped"].items()
    )
    columns = ("metric", f"split by {by}", "random split", "random minus grouped")
    return Extra(f"leak check with {MODEL}", "", columns, lines), _meaning(lines[0], by)


def _at_random(parts: Array, words: Array, n: int, seed: int) -> Dealt:
    """The labelled cells of all parts, dealt anew to parts of the same sizes; n of them test."""
    known = np.array([p is not None and w is not None for p, w in zip(parts, words)], dtype=bool)
    rows = np.flatnonzero(known)
    dealt = parts.copy()
    dealt[rows] = parts[np.random.default_rng(seed).permutation(rows)]
    return Dealt(dealt, rows[dealt[rows] == "test"][:n])


def _scored(answers: Answers, words: Array) -> dict[str, float]:
    classes = tuple(sorted({*words.tolist(), *answers.classes}))
    truth = np.array([classes.index(word) for word in words], dtype=np.int64)
    made = [metric(key)(Design.plain(classes)) for key in METRICS]
    for calls in walk(answers, truth, np.zeros(len(truth), np.int64), classes):
        for one in made:
            one.update(calls)
    return {one.id: float(one.result().value) for one in made}


def _meaning(line: tuple[str, float, float, float], by: str) -> str:
    key, grouped, dealt, more = line
    told = f"leak check: {MODEL} has {key} {grouped:.3f} by {by}, {dealt:.3f} at random ({more:+.3f}): "
    if more > SLIGHT:
        return told + f"so much of a random split's score is knowing the {by}; report the former"
    return told + f"a random split would not flatter here, knowing the {by} is worth little"
