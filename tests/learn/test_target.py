"""Limits of predictions."""

import numpy as np
import pytest

from scgx.learn.target import bounded, limits


@pytest.mark.parametrize(
    ("modality", "expected"),
    [("rna", [0, 0.5, 2]), ("atac", [0, 0.5, 1]), ("adt", [-1, 0.5, 2])],
)
def test_values_stay_within_what_the_modality_can_be(modality, expected):
    values = np.array([[-1, 0.5, 2]], np.float32)
    assert bounded(values, limits(modality)).tolist() == [expected]
