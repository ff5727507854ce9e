"""The plot of labels has cells by class, bins of confidence and the error of the surest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx import plots
from scgx.metrics._calls import Calls
from scgx.tasks._label_picture import picture
from scgx.tasks._scores import BASELINE, GUESS


@dataclass
class Told:
    """A guess in memory."""

    classes: tuple[str, ...]
    probability: np.ndarray
    sure: bool = True

    def calls(self, truth, parts, place, rows) -> Calls:
        made = self.probability[rows]
        best = made.argmax(axis=1)
        found = (made, made.max(axis=1)) if self.sure else (None, None)
        return Calls(truth, best, best, parts, *found)


def drawn(sure: bool = True):
    probability = np.array([[0.9, 0.1], [0.92, 0.08], [0.3, 0.7], [0.6, 0.4]])
    told = Told(("a", "b"), probability, sure)
    return picture([("m", GUESS, told), ("n", BASELINE, told)], np.array([0, 1, 1, 1]), ("a", "b"))


def test_bins_and_curve_are_counted_by_hand() -> None:
    made = drawn()
    assert list(made.matrices) == ["m"]
    np.testing.assert_array_equal(made.matrices["m"], [[1, 0], [2, 1]])
    np.testing.assert_allclose(made.reliability["m"], [[1, 1, 2], [0.6, 0.7, 0.91], [0, 1, 0.5]])
    assert made.area["m"] == (1 + 1 / 2 + 1 / 3 + 2 / 4) / 4
    np.testing.assert_allclose(made.risk["m"], [[0.25, 0.5, 0.75, 1], [1, 1 / 2, 1 / 3, 2 / 4]])


def test_it_is_drawn_the_same_each_time_with_curves_where_there_are_probabilities(
    tmp_path: Path,
) -> None:
    plots.confusion(drawn(), tmp_path / "a.svg")
    plots.confusion(drawn(), tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "<!-- reliability: error" in text and "<!-- error by coverage: area 0.583" in text
    plots.confusion(drawn(sure=False), tmp_path / "c.svg")
    assert "reliability" not in (tmp_path / "c.svg").read_text()
