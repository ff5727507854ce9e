"""Classes that are mistaken for each other stand side by side."""

import numpy as np

from scgx.tasks._order import by_confusion


def test_pairs_that_are_exchanged_become_neighbours() -> None:
    counts = np.diag([50, 50, 50, 50])
    counts[0, 3] = counts[3, 0] = 20
    counts[1, 2] = counts[2, 1] = 10
    place = np.argsort(by_confusion([counts]))
    assert abs(place[0] - place[3]) == 1 and abs(place[1] - place[2]) == 1


def test_every_class_is_kept_whatever_there_is() -> None:
    for counts in (np.zeros((5, 5), int), np.eye(2, dtype=int), np.ones((1, 1), int)):
        assert sorted(by_confusion([counts, counts])) == list(range(len(counts)))
