"""Deviations from the mean profile, and missing targets."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.loadings import Loadings
from scgx.learn.residual import deviations, training_targets, values

Y = sparse.csr_array(np.random.default_rng(0).poisson(1.0, (30, 5)).astype(np.float32))


def data(weight):
    return SimpleNamespace(train=np.arange(30), y=lambda rows: Y[rows], weight=lambda rows: weight)


def test_deviations_come_back_as_the_values():
    loadings = Loadings.fit(Y, rank=2, power=0.75, seed=0)
    assert values(deviations(Y, loadings), loadings) == pytest.approx(Y.toarray(), abs=1e-5)


def test_a_missing_target_counts_as_the_mean_of_those_that_are_there():
    weight = np.ones((30, 5), np.float32)
    weight[:10, 2] = 0
    filled = training_targets(data(weight)).toarray()
    assert filled[:10, 2] == pytest.approx(np.full(10, Y.toarray()[10:, 2].mean()), rel=1e-5)
    assert (filled[10:] == Y.toarray()[10:]).all()


def test_without_missing_targets_they_are_as_they_are():
    assert (training_targets(data(None)) != Y).nnz == 0
