"""Random counts: their means, variances and zeros are those that were asked for."""

import numpy as np
import pytest

from scgx.learn.draws import multinomial, negative_binomial


@pytest.mark.parametrize("mean", [0.01, 0.3, 4.0, 25.0, 300.0])
@pytest.mark.parametrize("dispersion", [0.0, 0.1, 2.0])
def test_mean_variance_and_zeros_are_those_of_the_distribution(mean, dispersion) -> None:
    n = 200_000
    drawn = negative_binomial(
        np.full((n, 1), mean), np.array([dispersion]), np.random.default_rng(0)
    )
    x = drawn.toarray().astype(float)
    variance = mean + dispersion * mean**2
    assert x.mean() == pytest.approx(mean, rel=0.03)
    assert x.var() == pytest.approx(variance, rel=0.06)
    none = (1 + dispersion * mean) ** (-1 / dispersion) if dispersion else np.exp(-mean)
    assert (x == 0).mean() == pytest.approx(none, abs=0.005)


def test_the_counts_of_a_row_are_dealt_by_its_shares() -> None:
    share = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    made = multinomial(
        np.repeat(share, 500, axis=0), np.repeat([40, 7], 500), np.random.default_rng(0)
    )
    x = made.toarray()
    np.testing.assert_array_equal(x.sum(axis=1), np.repeat([40, 7], 500))
    assert x[:500, 0].mean() == pytest.approx(10, rel=0.05)
    assert (x[:500, 2] == 0).all() and (x[500:, 2] == 7).all()


def test_no_counts_are_no_entries() -> None:
    made = negative_binomial(np.zeros((3, 4)), np.zeros(4), np.random.default_rng(0))
    assert made.nnz == 0 and made.shape == (3, 4)
    assert multinomial(np.ones((2, 3)), np.zeros(2, np.int64), np.random.default_rng(0)).nnz == 0
