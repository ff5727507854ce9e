"""Bootstrap by weights: what is drawn, how wide it is, and that order does not matter."""

import numpy as np
import pytest

from scgx.metrics._panel import Result
from scgx.tasks._bootstrap import DRAWS, interval, plan, without_interval


def names(n: int) -> np.ndarray:
    return np.array([f"c{i}" for i in range(n)], dtype=object)


def test_five_groups_are_drawn_as_groups():
    labels = np.array([f"d{i % 5}" for i in range(50)], dtype=object)
    drawn = plan(names(50), labels, "donor", seed=0)
    assert drawn.over == "5 groups of 'donor'" and not drawn.optimistic
    assert drawn.weights.shape == (DRAWS, 5)
    assert (drawn.weights.sum(axis=1) == 5).all()
    assert all(len(set(drawn.parts[labels == label])) == 1 for label in set(labels))


def test_four_groups_are_too_few_and_cells_are_drawn():
    labels = np.array([f"d{i % 4}" for i in range(50)], dtype=object)
    drawn = plan(names(50), labels, "donor", seed=0)
    assert drawn.optimistic and drawn.over == "cells, optimistic"
    assert drawn.groups == ("d0", "d1", "d2", "d3")


def test_cells_are_dealt_by_name_whatever_their_order():
    order = np.random.default_rng(0).permutation(500)
    one, two = plan(names(500), None, "", seed=0), plan(names(500)[order], None, "", seed=0)
    np.testing.assert_array_equal(one.parts[order], two.parts)
    assert set(np.bincount(one.parts)) == {5}


def test_a_cell_without_a_group_is_in_one_of_its_own():
    labels = np.array([None, *[f"d{i % 5}" for i in range(20)]], dtype=object)
    assert "missing" in plan(names(21), labels, "donor", seed=0).groups


def test_the_interval_of_dealt_cells_is_as_wide_as_that_of_a_mean_of_cells():
    values = np.random.default_rng(1).normal(size=2000)
    drawn = plan(names(2000), None, "", seed=0)
    sums, counts = (np.bincount(drawn.parts, weights=w) for w in (values, np.ones(2000)))
    found = interval(drawn.weights @ sums / (drawn.weights @ counts), float(values.mean()))
    assert found is not None
    low, high = found
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.2)


def test_no_draws_give_no_interval():
    assert interval(np.zeros(0), 1.0) is None
    assert interval(np.linspace(0, 1, 9), None) is None


def test_draws_that_do_not_hold_their_value_give_no_interval_and_a_note():
    draws = np.linspace(0, 1, 1000)
    assert interval(draws, 0.5) == pytest.approx((0.025, 0.975))
    assert interval(draws, 1.5) is None
    results = {
        "one": Result(1.5, draws, 4),
        "two": Result(0.5, draws, 4),
        "three": Result(None, draws, 0),
    }
    (words,) = without_interval(results, 4)
    assert words.startswith("no interval of one: draws of 4 cells")
    assert without_interval({"two": results["two"]}, 4) == []
