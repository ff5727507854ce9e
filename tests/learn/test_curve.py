"""The second stage: bends where a line cannot, and says held out what it was not told."""

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.curve import GAMMAS, PENALTIES, Curve, Shrinkage, evened
from scgx.learn.kernels import Budget
from scgx.learn.loadings import Loadings


@pytest.fixture
def bent():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(200, 2)).astype(np.float32)
    bend = np.abs(seen[:, :1]) @ rng.normal(size=(1, 10)) + 0.1 * rng.normal(size=(200, 10))
    y = sparse.csr_array(bend.astype(np.float32))
    return seen, y, Loadings.fit(y, rank=3, power=0.5, seed=0), np.arange(200) % 5


def test_it_finds_what_no_line_can_and_says_so_held_out(bent):
    seen, y, loadings, folds = bent
    curve, held_out = Curve.fit(seen, y, loadings, folds, Shrinkage(0, 0), Budget(1 << 30, 0))
    truth = loadings.components(y)[:, 0]
    assert abs(np.corrcoef(seen[:, 0], truth)[0, 1]) < 0.3
    assert np.corrcoef(held_out[:, 0], truth)[0, 1] > 0.8
    assert np.corrcoef(curve(seen)[:, 0], truth)[0, 1] > 0.8


def test_what_is_wanted_is_kept_and_what_is_not_is_chosen(bent):
    seen, y, loadings, folds = bent
    wanted = Shrinkage(0.25, 0)
    curve, _ = Curve.fit(seen, y, loadings, folds, wanted, Budget(1 << 30, 0))
    gamma, penalty = curve.chosen
    assert gamma == 0.25 and penalty in PENALTIES and gamma not in GAMMAS


def test_evened_components_have_a_total_variance_of_one():
    components = np.random.default_rng(0).normal(size=(500, 4)) * [8, 4, 2, 1]
    scaled = components * evened(components)
    np.testing.assert_allclose(scaled.var(axis=0).sum(), 1, rtol=1e-3)
    assert scaled.std(axis=0)[0] / scaled.std(axis=0)[3] < 8
