"""Cells that vote: means over clusters and over neighbours, against plain sums."""

import numpy as np

from scgx.learn.vote import NEIGHBOURS, among_neighbours, in_clusters


def test_a_cell_without_a_cluster_is_alone() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(np.float32)
    words = np.array(["a", None, "a", "b", None, "a"], dtype=object)
    made = in_clusters(probability, words)
    mean = probability[[0, 2, 5]].mean(axis=0)
    np.testing.assert_allclose(made[[0, 2, 5]], np.tile(mean, (3, 1)), rtol=1e-6)
    np.testing.assert_array_equal(made[[1, 3, 4]], probability[[1, 3, 4]])
    nobody = np.array([None] * 6, dtype=object)
    np.testing.assert_array_equal(in_clusters(probability, nobody), probability)


def test_the_nearest_cells_vote_itself_included() -> None:
    draw = np.random.default_rng(1)
    space = draw.normal(size=(80, 3))
    probability = draw.dirichlet(np.ones(4), 80).astype(np.float32)
    distance = ((space[:, None] - space[None]) ** 2).sum(axis=2)
    near = np.argsort(distance, axis=1)[:, :NEIGHBOURS]
    made = among_neighbours(probability, space)
    np.testing.assert_allclose(made, probability[near].mean(axis=1), rtol=1e-5)
    assert (near[:, 0] == np.arange(80)).all()
