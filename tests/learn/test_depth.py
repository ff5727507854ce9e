"""Depth as a feature."""

import numpy as np
from scipy import sparse

from scgx.learn.depth import Depth


def test_depth_is_standardised_on_training_rows_and_made_up_for_absent_features():
    rng = np.random.default_rng(0)
    dense = (rng.random((300, 400)) < rng.random((300, 1)) * 0.5).astype(np.float32)
    x = sparse.csr_array(dense)
    depth = Depth.fit(x, weight=0.5)
    whole = depth(x)
    np.testing.assert_allclose([whole.mean(), whole.std()], [0, 0.5], atol=1e-3)
    present = rng.random(400) < 0.5
    half = depth(sparse.csr_array(dense * present), present)
    assert np.abs(half.mean() - whole.mean()) < 0.05
    assert np.corrcoef(half[:, 0], whole[:, 0])[0, 1] > 0.9
