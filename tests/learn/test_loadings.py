"""Loadings: outputs to components and back."""

import numpy as np
from scipy import sparse

from scgx.learn.loadings import Loadings


def test_outputs_of_low_rank_come_back():
    rng = np.random.default_rng(0)
    dense = (rng.normal(size=(80, 3)) @ rng.normal(size=(3, 20)) + 1).astype(np.float32)
    y = sparse.csr_array(dense)
    loadings = Loadings.fit(y, rank=3, power=0.5, seed=0)
    np.testing.assert_allclose(loadings.outputs(loadings.components(y)), dense, atol=1e-3)


def test_some_columns_are_those_of_all():
    rng = np.random.default_rng(0)
    y = sparse.csr_array(rng.random((30, 12)).astype(np.float32))
    loadings = Loadings.fit(y, rank=4, power=1.0, seed=0)
    some = loadings.components(y)
    np.testing.assert_array_equal(
        loadings.outputs(some, slice(3, 7)), loadings.outputs(some)[:, 3:7]
    )
