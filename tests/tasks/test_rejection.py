"""Errors among the surest cells, and AUROC of types that a guess does not know."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scgx.h5ad.frame import Frame
from scgx.metrics._calls import Calls
from scgx.tasks._rejection import auroc, rejection


@dataclass
class Told:
    """A guess in memory, as a file would tell it."""

    classes: tuple[str, ...]
    probability: np.ndarray | None
    novelty: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.probability))

    @property
    def cells(self) -> SimpleNamespace:
        obs = Frame(np.array([f"c{i}" for i in self.rows], dtype=object))
        told = self.novelty is not None
        return SimpleNamespace(obs=obs.with_column("scgx_novelty", self.novelty) if told else obs)

    def calls(self, truth, parts, place, rows) -> Calls:
        if self.probability is None:
            return Calls(truth, truth, truth, parts)
        made = self.probability[rows]
        best = place[made.argmax(axis=1)]
        return Calls(truth, best, best, parts, made, made.max(axis=1))


def test_auroc_equals_scikit_learn_with_ties() -> None:
    draw = np.random.default_rng(0)
    score, positive = draw.integers(0, 6, 300) / 6, draw.random(300) < 0.3
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_errors_are_those_of_the_surest_and_unknown_types_are_positives() -> None:
    probability = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    truth = np.array([0, 1, 1, 2])  # c is unknown to the guess
    risk, unknown = rejection("m", Told(("a", "b"), probability), truth, ("a", "b", "c"))
    rows = {row[0]: row[1:] for row in risk.rows}
    assert rows[0.25] == (1, 0.9, 0.0)
    assert rows[0.5] == (2, 0.8, 0.5)
    assert rows[1.0] == (4, 0.6, 0.5)
    assert unknown.rows == (("1 - p of the likeliest class", 3, 1, 1.0),)
    told = Told(("a", "b"), probability, np.array([0.1, 3.0, 0.2, 2.0]))
    _, unknown = rejection("m", told, truth, ("a", "b", "c"))
    assert unknown.rows[1] == ("scgx_novelty", 3, 1, 2 / 3)


def test_without_unknown_types_or_probabilities_nothing_is_said_of_them() -> None:
    probability, truth = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    made = list(rejection("m", Told(("a", "b"), probability), truth, ("a", "b")))
    assert [each.name for each in made] == ["error of the surest cells"]
    assert list(rejection("m", Told(("a", "b"), None), truth, ("a", "b"))) == []
