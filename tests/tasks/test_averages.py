"""Averages of precision, recall and F1 are those of scikit-learn; ranks are counted from the best."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn import metrics as known

from scgx.metrics._calls import Calls, Design, Tally
from scgx.tasks._averages import averages, per_class, top_k

CLASSES = ("a", "b", "c", "d")


@dataclass
class Told:
    """A guess in memory, as a file would tell it."""

    classes: tuple[str, ...]
    probability: np.ndarray | None

    def calls(self, truth, parts, place, rows) -> Calls:
        made = None if self.probability is None else self.probability[rows]
        return Calls(truth, truth, truth, parts, made)


def tallied(truth: np.ndarray, guess: np.ndarray, draws: int = 0) -> Tally:
    weights = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), draws).astype(float)
    tally = Tally(Design(CLASSES, weights.reshape(draws, 5)))
    tally.add(Calls(truth, guess, guess, np.arange(len(truth)) % 5))
    return tally


def test_they_equal_scikit_learn_where_a_class_is_only_guessed_or_only_true() -> None:
    rng = np.random.default_rng(1)
    truth, noise = rng.choice([0, 1, 3], 200), rng.choice([0, 1, 2], 200)
    guess = np.where(rng.random(200) < 0.7, np.where(truth == 3, 0, truth), noise)
    found = {row[:2]: row[2] for row in averages("m", tallied(truth, guess)).rows}
    each = dict(zip(("precision", "recall", "f1"), known.precision_recall_fscore_support(
        truth, guess, labels=[0, 1, 3], average=None, zero_division=0)))  # fmt: skip
    for way in ("macro", "weighted", "micro"):
        wanted = known.precision_recall_fscore_support(truth, guess, average=way, zero_division=0)
        for measure, value in zip(("precision", "recall", "f1"), wanted):
            assert found[measure, way] == pytest.approx(value), (measure, way)
    for measure, values in each.items():
        assert found[measure, "median"] == pytest.approx(np.median(values))


def test_unanswered_cells_cost_recall_and_no_precision() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, -1, 1, -1])
    found = {row[:2]: row[2] for row in averages("m", tallied(truth, guess)).rows}
    assert found["precision", "micro"] == found["precision", "macro"] == 1
    assert found["recall", "micro"] == found["recall", "macro"] == 0.5


def test_they_have_intervals_that_hold_them() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 500)
    guess = np.where(rng.random(500) < 0.8, truth, rng.integers(0, 3, 500))
    for _, _, value, low, high in averages("m", tallied(truth, guess, 200)).rows:
        assert low < value < high


def test_a_class_that_nobody_has_is_no_line() -> None:
    table = per_class("m", tallied(np.array([0, 1]), np.array([0, 2])).total, CLASSES)
    lines = {row[0]: row[1:] for row in table.rows}
    assert lines == {"a": (1, 1, 1, 1, 1), "b": (1, 0, 0, 0, 0), "c": (0, 1, 0, None, 0)}


def test_the_truth_is_looked_for_down_the_list() -> None:
    probability = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25] * 4])
    (table,) = top_k("m", Told(CLASSES, probability), np.array([0, 1, 2]), CLASSES)
    assert table.rows == ((1, pytest.approx(1 / 3)), (2, pytest.approx(1 / 3)), (3, 1))
    assert list(top_k("m", Told(CLASSES, None), np.array([0, 1, 2]), CLASSES)) == []
