"""What a plot of labels draws: who is mistaken for whom, and what confidence is worth."""

from collections.abc import Sequence

import numpy as np

from scgx.metrics._calls import Array, Design
from scgx.metrics._ranked import Points, Ranked
from scgx.tasks._answers import Answers, walk
from scgx.tasks._order import by_confusion
from scgx.tasks._scores import GUESS, Confusion

BINS = 15
MOST = 1_000  # points of a curve; more would not be seen


def picture(
    shown: Sequence[tuple[str, str, Answers]], truth: Array, classes: tuple[str, ...]
) -> Confusion:
    """Of every guess: cells by true and guessed class, reliability, and error by coverage.

    Classes that are mixed up stand side by side. A guess without probabilities has no curves.
    """
    n = len(classes)
    parts = np.zeros(len(truth), dtype=np.int64)
    matrices, reliability, risk, area = {}, {}, {}, {}
    for name, kind, answers in shown:
        if kind != GUESS:
            continue
        found, bins = np.zeros((n, n), dtype=np.int64), np.zeros((3, BINS))
        ranked = Ranked(Design.plain(classes))
        for calls in walk(answers, truth, parts, classes):
            said = calls.guess >= 0
            np.add.at(found, (calls.truth[said], calls.guess[said]), 1)
            ranked.add(calls)
            if calls.confidence is not None:
                place = np.clip(np.ceil(calls.confidence * BINS).astype(int) - 1, 0, BINS - 1)
                right = calls.truth == calls.best
                for row, values in enumerate((np.ones(len(place)), calls.confidence, right)):
                    bins[row] += np.bincount(place, values, BINS)
        matrices[name] = found
        if len(ranked):
            filled = bins[:, bins[0] > 0]
            reliability[name] = np.stack([filled[0], filled[1] / filled[0], filled[2] / filled[0]])
            points = ranked.points()
            risk[name], area[name] = _curve(points), points.area()
    order = by_confusion(matrices.values())
    within = {name: found[np.ix_(order, order)] for name, found in matrices.items()}
    return Confusion(tuple(classes[code] for code in order), within, reliability, risk, area)


def _curve(points: Points) -> Array:
    """Coverage and error (2, at most 1,000), the surest cells first."""
    n = points.n.cumsum()
    some = np.unique(np.linspace(0, len(n) - 1, min(len(n), MOST)).astype(np.int64))
    curve: Array = np.stack([n / n[-1], points.wrong.cumsum() / n])[:, some]
    return curve
