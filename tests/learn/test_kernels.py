"""Kernel ridge: held-out predictions are exactly those of refits; landmarks agree with the whole."""

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.kernels import CONSTANT, Budget, fit_dual, landmarks_for, linear, rbf, rbf_between

PLENTY = Budget(memory=1 << 30, seed=0)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 12)).astype(np.float32)
    y = np.tanh(x[:, :3]) @ rng.normal(size=(3, 2)) + 0.1 * rng.normal(size=(90, 2))
    return x, y.astype(np.float32), np.arange(90) % 5


def by_hand(x, y, penalty):
    """Weights of ridge on a linear kernel with a constant, and the mean of y."""
    mean = y.mean(axis=0)
    kernel = x @ x.T + CONSTANT + penalty * np.eye(len(x))
    return np.linalg.solve(kernel.astype(np.float64), y - mean), mean


def test_the_function_is_that_of_the_closed_form(cells):
    x, y, folds = cells
    dual = fit_dual(linear(sparse.csr_array(x)), y, folds, penalty=2.0, budget=PLENTY)
    weights, mean = by_hand(x, y, 2.0)
    np.testing.assert_allclose(dual.weights, weights, atol=1e-4)
    guess = x @ x.T @ dual.weights + dual.bias
    np.testing.assert_allclose(guess, (x @ x.T + CONSTANT) @ weights + mean, atol=1e-3)


def test_held_out_predictions_equal_refits_without_the_fold(cells):
    x, y, folds = cells
    dual = fit_dual(linear(sparse.csr_array(x)), y, folds, penalty=2.0, budget=PLENTY)
    mean = y.mean(axis=0)
    for fold in range(5):
        fit, own = folds != fold, folds == fold
        kernel = x[fit] @ x[fit].T + CONSTANT + 2.0 * np.eye(fit.sum())
        weights = np.linalg.solve(kernel.astype(np.float64), y[fit] - mean)
        expected = (x[own] @ x[fit].T + CONSTANT) @ weights + mean
        np.testing.assert_allclose(dual.held_out[own], expected, atol=1e-3)


def test_landmarks_that_are_all_rows_agree_with_the_whole_kernel(cells):
    x, y, folds = cells
    whole = fit_dual(rbf(x, 0.1), y, folds, penalty=0.5, budget=PLENTY)
    few = fit_dual(rbf(x, 0.1), y, folds, penalty=0.5, budget=PLENTY._replace(exact=0))
    np.testing.assert_allclose(few.held_out, whole.held_out, atol=2e-3)
    kernel = rbf_between(x, x, 0.1)
    np.testing.assert_allclose(
        kernel[:, few.rows] @ few.weights + few.bias,
        kernel @ whole.weights + whole.bias,
        atol=2e-3,
    )


def test_few_landmarks_still_find_the_signal(cells):
    x, y, folds = cells
    budget = PLENTY._replace(exact=0, landmarks=30)
    dual = fit_dual(rbf(x[:, :3], 0.2), y, folds, penalty=0.5, budget=budget)
    assert len(dual.rows) == 30
    assert np.corrcoef(dual.held_out[:, 0], y[:, 0])[0, 1] > 0.8


def test_memory_chooses_between_the_whole_kernel_landmarks_and_a_refusal():
    assert landmarks_for(10_000, Budget(memory=1 << 30, seed=0)) == 10_000
    assert landmarks_for(10_000, Budget(memory=100 << 20, seed=0)) == 1_194
    assert landmarks_for(1_000_000, Budget(memory=64 << 30, seed=0)) == 4_000
    with pytest.raises(DataError, match="needs 29 MiB"):
        landmarks_for(10_000, Budget(memory=1 << 20, seed=0))


def test_a_kernel_of_one_cell_with_itself_is_one(cells):
    x = cells[0]
    np.testing.assert_allclose(np.diag(rbf_between(x, x, 3.0)), 1, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes(cells):
    x, y, folds = cells
    budget = PLENTY._replace(exact=0, landmarks=20)
    first, second = (fit_dual(rbf(x, 0.1), y, folds, penalty=1.0, budget=budget) for _ in "ab")
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
