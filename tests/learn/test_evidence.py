"""What second stages begin with: evidence of training cells that was held out, in few numbers."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from scgx.learn.evidence import Wanted, gather
from scgx.learn.selection import correlation

WANTED = Wanted(4, 0.7, 3, 5, 4, 2.0, 0.0, 0.3)


def paired(n=240, n_in=80, n_out=20):
    rng = np.random.default_rng(0)
    state = rng.normal(size=(n, 2))
    open_ = rng.random((n, n_in)) < 1 / (1 + np.exp(1 - state @ rng.normal(size=(2, n_in))))
    x = sparse.csr_array(open_.astype(np.float32))
    y = sparse.csr_array(
        rng.poisson(np.exp(state @ rng.normal(size=(2, n_out)))).astype(np.float32)
    )
    return SimpleNamespace(
        inputs=SimpleNamespace(modality="atac"),
        train=np.arange(0, n, 2),
        groups=np.array([f"g{i % 6}" for i in range(n)], object),
        memory=1 << 30,
        x=lambda rows: x[rows],
        y=lambda rows: y[rows],
        weight=lambda rows: None,
    )


def test_it_is_of_the_training_rows_and_foresees_their_components():
    data = paired()
    found = gather(data, WANTED, 0)
    assert found.y.shape == (120, 20) and found.seen.shape == (120, 3 + 4 + 1)
    truth = found.loadings.components(found.y)
    assert correlation(truth[:, :2], found.seen[:, :2]).min() > 0.4
    assert {
        len(set(data.groups[data.train][found.folds == fold])) for fold in set(found.folds)
    } == {1}


def test_at_use_it_is_what_training_cells_would_be_told_were_they_not_held_out():
    data = paired()
    found = gather(data, WANTED, 0)
    at_use = found.evidence(data.x(data.train))
    assert at_use.shape == found.seen.shape and not np.array_equal(at_use, found.seen)
    assert correlation(at_use[:, :2], found.seen[:, :2]).min() > 0.6


def test_sizes_are_those_that_settings_say():
    config = SimpleNamespace(**WANTED._asdict(), lr=0.1)
    assert Wanted.of(config) == WANTED
