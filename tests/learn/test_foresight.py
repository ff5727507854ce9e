"""What ridge on all features foresees of the target, and held out from what."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from scgx.learn.foresight import foresee
from scgx.learn.selection import correlation


def cells(n=240, n_in=60):
    rng = np.random.default_rng(0)
    state = rng.normal(size=(n, 2))
    open_ = rng.random((n, n_in)) < 1 / (1 + np.exp(1 - state @ rng.normal(size=(2, n_in))))
    x = sparse.csr_array(open_.astype(np.float32))
    return SimpleNamespace(
        inputs=SimpleNamespace(modality="atac"),
        train=np.arange(n),
        groups=np.array([f"g{i % 6}" for i in range(n)], object),
        memory=1 << 30,
        x=lambda rows: x[rows],
    ), state.astype(np.float32)


def test_what_is_foreseen_for_training_cells_is_held_out():
    data, state = cells()
    _, held_out = foresee(data, state, idf_power=2.0, penalty=0.0, seed=0)
    assert correlation(state, held_out).min() > 0.5
    noise = np.random.default_rng(1).normal(size=state.shape).astype(np.float32)
    fit, held_out = foresee(data, noise, idf_power=2.0, penalty=1.0, seed=0)
    assert correlation(noise, fit(data.x(data.train))).mean() > 0.3
    assert abs(correlation(noise, held_out).mean()) < 0.15


def test_a_group_is_foreseen_without_its_own_cells_but_for_the_mean_of_all():
    data, state = cells()
    own = data.groups == "g0"
    _, before = foresee(data, state, idf_power=2.0, penalty=4.0, seed=0)
    changed = state.copy()
    changed[own] += 10 * np.random.default_rng(2).normal(size=changed[own].shape)
    _, after = foresee(data, changed.astype(np.float32), idf_power=2.0, penalty=4.0, seed=0)
    spread = before.std()
    assert np.abs((after - after[own].mean(0)) - (before - before[own].mean(0)))[own].max() < (
        0.05 * spread
    )
    assert np.abs(after[~own] - before[~own]).max() > 0.2 * spread
