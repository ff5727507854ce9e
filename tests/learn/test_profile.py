"""Mean profiles."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from scgx.learn.profile import mean_profile


def test_missing_targets_are_left_out_and_others_count_by_their_weight():
    y = sparse.csr_array(np.array([[1, 2], [3, 50], [5, 6]], np.float32))
    weight = np.array([[1, 1], [1, 0], [0.5, 1]], np.float32)
    rows = np.arange(3)
    data = SimpleNamespace(y=lambda r: y[r], weight=lambda r: weight[r])
    np.testing.assert_allclose(mean_profile(data, rows), [6.5 / 2.5, 4])
    whole = SimpleNamespace(y=lambda r: y[r], weight=lambda r: None)
    np.testing.assert_allclose(mean_profile(whole, rows), [3, 58 / 3], rtol=1e-6)
