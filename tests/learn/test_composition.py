"""Shares of cell types: counts, Wilson's interval, and the distance to a tissue."""

import numpy as np
import pytest
from scipy import stats

from scgx.learn.calls import Calls, Rules
from scgx.learn.composition import distance, of_samples, wilson


def test_the_interval_is_wilsons() -> None:
    counts, total = np.array([0, 3, 20, 20]), np.array([20, 20, 20, 20])
    low, high = wilson(counts, total)
    for i in range(4):
        known = stats.binomtest(int(counts[i]), 20).proportion_ci(method="wilson")
        assert (low[i], high[i]) == pytest.approx((known.low, known.high), abs=1e-12)
    assert [float(each[0]) for each in wilson(np.array([0]), np.array([0]))] == [0, 1]


def test_cells_are_counted_by_sample_and_unknown_is_a_class() -> None:
    probability = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.55, 0.45, 0], [1, 0, 0]], np.float32)
    calls = Calls.of(probability, ("a", "b", "c"), Rules(reject=0.6))
    samples = np.array(["s1", "s1", "s2", None], dtype=object)
    made = of_samples(calls, samples, "sample", {"a": 3, "z": 1})
    assert made.classes == ("a", "b", "unknown", "z")
    assert made.samples == ("missing", "s1", "s2")
    assert made.counts.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert [each.value for each in made.distances()] == pytest.approx([0.25, 0.5, 1.0])
    assert made.rows()[0][:4] == ("missing", "a", 1, 1.0)
    assert of_samples(calls, samples, "sample").distances() == []


def test_the_same_tissue_is_near_and_nothing_in_common_is_far() -> None:
    here = np.array([400, 300, 300])
    near = distance(here, here, seed=0)
    assert near.value == 0 and near.low is None  # draws of the same lie at some distance
    far = distance(np.array([50, 0]), np.array([0, 50]), seed=0)
    assert far == (1.0, 1.0, 1.0)
    apart = distance(here, np.array([300, 300, 400]), seed=0)
    assert apart.value == pytest.approx(0.1)
    assert apart.low is not None and apart.low < 0.1 < apart.high < 0.2
