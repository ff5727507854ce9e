"""Smoothing over neighbours."""

import numpy as np

from scgx.learn.neighbours import smoothed


def test_each_row_becomes_the_mean_of_its_nearest_rows():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 5)).astype(np.float32)
    distance = ((z[:, None, :2] - z[None, :, :2]) ** 2).sum(axis=2)
    expected = z[np.argsort(distance, axis=1)[:, :4]].mean(axis=1)
    np.testing.assert_allclose(smoothed(z, dimensions=2, neighbours=4), expected, atol=1e-5)


def test_one_neighbour_is_the_row_itself_and_many_are_all():
    z = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    assert smoothed(z, dimensions=3, neighbours=1) is z
    every = smoothed(z, dimensions=3, neighbours=99)
    np.testing.assert_allclose(every, np.tile(z.mean(axis=0), (10, 1)), atol=1e-6)
