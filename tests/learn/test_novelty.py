"""Novelty: high for cells unlike the class that they are called, whatever its probability."""

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError, InputError
from scgx.learn.novelty import SMOOTH, THETA, Novelty, counts_of, fit

GENES = 60


def logged(counts: np.ndarray) -> sparse.csr_array:
    """log1p of counts per ten thousand, float32."""
    depth = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return sparse.csr_array(np.log1p(counts / depth * 1e4).astype(np.float32))


def drawn(profile: np.ndarray, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(profile * rng.integers(200, 900, (n, 1)))


def profiles() -> np.ndarray:
    """Two classes that train, and a third that has the genes of neither, float (3, genes)."""
    weight = np.ones((3, GENES))
    for code in range(3):
        weight[code, 20 * code : 20 * code + 20] = 12
    return weight / weight.sum(axis=1, keepdims=True)


def taught() -> Novelty:
    two = profiles()[:2]
    train = ((logged(drawn(two[k], 200, k)), np.full(200, k)) for k in (0, 1))
    sure = np.eye(2)[[0, 1]] * 0.98 + 0.01
    val = ((logged(drawn(two[k], 100, 9 + k)), np.tile(sure[k], (100, 1))) for k in (0, 1))
    found = fit(train, val, (2, GENES))
    assert found is not None
    return found


def test_counts_come_back_from_log_values() -> None:
    counts = drawn(profiles()[0], 50, 3)
    counts[7] = 0
    np.testing.assert_allclose(counts_of(logged(counts)).toarray(), counts, rtol=1e-4)


def test_it_is_log_odds_and_log_residual_in_deviations() -> None:
    counts = np.zeros((1, GENES))
    counts[0, :3] = (1, 4, 2)
    share = taught().share
    told = Novelty(share, np.array([[1.0, 2.0], [0.5, 4.0]]), np.zeros(30, np.float32))
    found = told.of(logged(counts), np.array([[0.9, 0.1]]), np.ones(GENES, bool))
    e = 7 * share[0].astype(float)
    residual = ((counts[0] - e) ** 2 / (e + e**2 / THETA + 0.01)).mean()
    wanted = (np.log(0.1 / 0.9) - 1) / 0.5 + (np.log(residual) - 2) / 4
    assert found[0] == pytest.approx(wanted, rel=1e-4)


def test_profiles_are_mean_shares_with_a_little_of_all() -> None:
    counts = drawn(profiles()[0], 30, 0)
    codes = np.arange(30) % 2
    found = fit([(logged(counts), codes)], [(logged(counts), np.full((30, 2), 0.5))], (2, GENES))
    each = counts / counts.sum(axis=1, keepdims=True)
    own = (1 - SMOOTH) * each[codes == 1].mean(axis=0) + SMOOTH * each.mean(axis=0) + 1e-6
    np.testing.assert_allclose(found.share[1], own / own.sum(), rtol=1e-4)


def test_a_type_that_never_trained_is_novel_though_its_probability_is_high() -> None:
    told, every = taught(), np.ones(GENES, bool)
    sure = np.tile([0.99, 0.01], (80, 1))
    seen = told.of(logged(drawn(profiles()[0], 80, 5)), sure, every)
    unseen = told.of(logged(drawn(profiles()[2], 80, 6)), sure, every)
    assert unseen.min() > seen.max()
    assert np.mean(seen > told.bar(0.95, "m")) < 0.15
    doubtful = told.of(logged(drawn(profiles()[0], 80, 5)), np.full((80, 2), 0.5), every)
    assert (doubtful > seen).all()


def test_genes_that_a_file_lacks_are_not_missed() -> None:
    told, present = taught(), np.arange(GENES) % 3 > 0
    counts = drawn(profiles()[0], 80, 5) * present
    sure = np.tile([0.99, 0.01], (80, 1))
    seen = told.of(logged(counts), sure, present)
    assert np.median(seen) < told.bar(0.95, "m")
    assert np.median(told.of(logged(counts), sure, np.ones(GENES, bool))) > np.median(seen)


def test_rows_and_empty_cells_answer_for_themselves() -> None:
    told, every = taught(), np.ones(GENES, bool)
    counts = drawn(profiles()[1], 200, 8)
    counts[3] = 0
    sure = np.tile([0.02, 0.98], (200, 1))
    whole = told.of(logged(counts), sure, every)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(told.of(logged(counts[150:]), sure[150:], every), whole[150:])


def test_it_is_stored_and_read_and_refused_where_it_does_not_fit() -> None:
    told = taught()
    again = Novelty.restore(told.save(), (2, GENES), "m")
    for one, other in zip(told.save().values(), again.save().values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert Novelty.restore({}, (2, GENES), "m") is None
    with pytest.raises(InputError, match="does not fit"):
        Novelty.restore(told.save(), (3, GENES), "m")


def test_few_validation_cells_say_nothing() -> None:
    x, p = logged(drawn(profiles()[0], 19, 0)), np.full((19, 2), 0.5)
    assert fit([(x, np.arange(19) % 2)], [(x, p)], (2, GENES)) is None
    with pytest.raises(DataError, match="cannot show"):
        taught().bar(0.9999, "m")
