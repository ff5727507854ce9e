"""Naive Bayes scores: right by hand, held out by fold, and telling kinds apart."""

import numpy as np
from scipy import sparse

from scgx.learn.bayes import Kinds, k_means, score_kinds


def cells(seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=150)
    share = rng.random((3, 40)) * 0.4
    share[:, 9] = 0
    x = (rng.random((150, 40)) < share[kind]).astype(np.float32)
    target = np.eye(3)[kind] * 5 + 0.1 * rng.normal(size=(150, 3))
    return sparse.csr_array(x), target.astype(np.float32), kind


def test_k_means_finds_clusters_and_repeats_itself():
    _, target, kind = cells()
    label = k_means(target, 3, seed=0)
    assert all(len(set(label[kind == k])) == 1 for k in range(3))
    assert (label == k_means(target, 3, seed=0)).all()


def test_more_clusters_than_points_leaves_none_empty():
    label = k_means(np.array([[0.0], [0.0], [1.0]]), 5, seed=0)
    assert sorted(set(label)) == list(range(label.max() + 1))


def test_scores_tell_kinds_apart_and_a_feature_never_seen_says_nothing():
    x, target, kind = cells()
    scorer, held_out = score_kinds(x, target, np.arange(150) % 5, kinds=3, seed=0)
    assert (scorer.ratio[9] == 0).all() and np.isfinite(scorer.ratio).all()
    label = k_means(target, 3, seed=0)
    assert (held_out.argmax(axis=1) == label).mean() > 0.7


def test_held_out_scores_equal_a_count_without_the_fold():
    x, target, _ = cells()
    folds = np.arange(150) % 5
    scorer, held_out = score_kinds(x, target, folds, kinds=3, seed=0)
    label = k_means(target, 3, seed=0)
    fit = folds != 2
    count = np.stack([x.toarray()[fit & (label == k)].sum(axis=0) for k in range(3)], axis=1)
    share = count.sum(axis=1) / count.sum()
    prior = len(share) * share[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log((count + prior) / (count.sum(axis=0) + len(share)) / share[:, None])
    expected = Kinds(np.nan_to_num(ratio).astype(np.float32))(x[folds == 2])
    np.testing.assert_allclose(held_out[folds == 2], expected, atol=1e-4)
    assert np.abs(scorer(x)[folds == 2] - expected).max() > 1e-3
