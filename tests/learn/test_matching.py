"""Cells to cells: what is near is matched, hubs take no more than their share."""

import numpy as np
import pytest

from scgx.errors import DataError
from scgx.learn import matching
from scgx.learn.alignment import _spread
from scgx.learn.canonical import unit
from scgx.learn.matching import Places, Sharp


def noisy(n: int, seed: int, noise: float = 0.5, width: int = 8) -> Places:
    """The same cells twice, each time with noise, as unit vectors."""
    rng = np.random.default_rng(seed)
    cells = rng.standard_normal((n, width))
    sides = (unit(cells + noise * rng.standard_normal(cells.shape)) for _ in range(2))
    return Places(*sides)


def whole(places: Places, temperature: float) -> np.ndarray:
    """Similarities over temperature, all at once and in float64."""
    left, right = (side.astype(np.float64) for side in places)
    return -((left[:, None] - right) ** 2).sum(axis=2) / 2 / temperature


def test_softmax_is_that_of_the_whole_matrix():
    places = noisy(300, 0)
    found, _ = matching.match(places, Sharp(0.1, 2.0), "softmax", 300)
    logits = whole(places, 0.1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probability.toarray(), expected, rtol=2e-4, atol=1e-7)
    sharper = expected**2 / (expected**2).sum(axis=1, keepdims=True)
    sharper = (1 - matching.SOFT) * sharper + matching.SOFT * expected
    np.testing.assert_allclose(found.weights.toarray(), sharper, rtol=5e-4, atol=1e-7)
    np.testing.assert_array_equal(found.best, expected.argmax(axis=1))
    np.testing.assert_allclose(found.confidence, expected.max(axis=1), rtol=2e-4)


def test_potentials_even_out_rows_and_columns():
    places = noisy(400, 1)._replace(right=noisy(300, 1).right)
    found = matching.potentials(places, 0.2, rounds=60)
    plan = np.exp(whole(places, 0.2) + found.rows[:, None] + found.columns)
    plan /= plan.sum()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 400, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 300, rtol=1e-3)


def test_places_that_are_freed_of_hubs_hold_the_potentials():
    places = noisy(60, 2)
    found = matching.potentials(places, 0.2)
    freed = matching.freed(places, found, 0.2)
    near = whole(freed, 0.2)
    wanted = whole(places, 0.2) + found.rows[:, None] + found.columns
    np.testing.assert_allclose(near - near.mean(), wanted - wanted.mean(), atol=1e-4)


def test_transport_finds_more_partners_than_softmax_where_there_are_hubs():
    rng = np.random.default_rng(3)
    places = noisy(500, 3, noise=0.3)
    pull = (0.8 * (rng.random(500) < 0.05))[:, None] * places.left.mean(axis=0)
    skewed = Places(places.left, unit(places.right + 4 * pull + 0.2 * places.left.mean(axis=0)))
    known = noisy(300, 4, noise=0.3)
    right = []
    for method in ("softmax", "transport"):
        found, _ = matching.match(skewed, matching.learn(known, method), method, 500)
        right.append((found.best == np.arange(500)).mean())
    assert right[1] >= right[0] > 0.3


def test_confidence_is_no_boast_and_tells_sure_from_unsure():
    sharp = matching.learn(noisy(800, 5), "transport")
    found, _ = matching.match(noisy(800, 6), sharp, "transport", 800)
    hit = found.best == np.arange(800)
    assert found.confidence.mean() < hit.mean() + 0.02
    sure = found.confidence > np.median(found.confidence)
    assert hit[sure].mean() > hit[~sure].mean() + 0.05
    assert sharp.sharpness > 1
    assert found.weights.diagonal().mean() > found.probability.diagonal().mean()


@pytest.mark.parametrize("method", matching.METHODS)
def test_rows_sum_to_one_or_are_empty(method):
    found, _ = matching.match(noisy(700, 7), Sharp(0.1), method, 20)
    assert found.weights.shape == (700, 700)
    assert np.diff(found.weights.indptr).max() <= 20
    total = found.weights.sum(axis=1)
    assert (np.isclose(total, 1, atol=1e-5) | ((total == 0) & (method == "mutual"))).all()
    assert (found.weights.argmax(axis=1) == found.best)[total > 0].all()


def test_mutual_pairs_are_each_others_best():
    places = noisy(300, 8)
    found, extra = matching.match(places, Sharp(0.1), "mutual", 300)
    logits = whole(places, 0.1) + extra.rows[:, None] + extra.columns
    both = logits.argmax(axis=0)[logits.argmax(axis=1)] == np.arange(300)
    np.testing.assert_array_equal(found.mutual, both)
    np.testing.assert_array_equal(np.diff(found.weights.indptr), both.astype(int))


def test_one_to_one_uses_no_cell_twice():
    places = noisy(120, 9)._replace(right=noisy(100, 9).right)
    sharp = Sharp(0.1)
    found, _ = matching.match(places, sharp, "transport", 100)
    paired = matching.one_to_one(places, sharp, found, 1 << 30)
    used = paired.best[paired.best >= 0]
    assert len(used) == len(set(used.tolist())) == 100
    assert (paired.weights.sum(axis=0) == 1).all()


def test_one_to_one_refuses_what_does_not_fit_and_says_what_would():
    places = noisy(200, 10)
    found, _ = matching.match(places, Sharp(0.1), "transport", 10)
    with pytest.raises(DataError, match="too large") as refusal:
        matching.one_to_one(places, Sharp(0.1), found, 1 << 10)
    assert "--by" in str(refusal.value.fix)


def test_blocks_of_groups_become_one_matrix():
    rng = np.random.default_rng(11)
    rows, columns = rng.permutation(9), rng.permutation(7)
    groups = [(np.sort(rows[:4]), np.sort(columns[:3])), (np.sort(rows[4:8]), np.sort(columns[3:]))]
    dense = np.zeros((9, 7), np.float32)
    blocks = []
    for some, others in groups:
        block = rng.random((len(some), len(others))).astype(np.float32)
        block[block < 0.3] = 0
        dense[np.ix_(some, others)] = block
        blocks.append((some, others, matching.sparse.csr_array(block)))
    np.testing.assert_array_equal(_spread(blocks, (9, 7)).toarray(), dense)
