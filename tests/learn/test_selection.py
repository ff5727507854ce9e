"""Rows that judge: groups stay together, and correlation is Pearson's."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.selection import correlation, fold_of, judges, mean_correlation


@pytest.fixture
def data():
    groups = np.array(list("abcdef") * 10, object)
    rows = np.arange(60)
    return SimpleNamespace(train=rows[groups < "e"], val=rows[groups == "e"], groups=groups)


def test_a_group_is_never_in_two_folds():
    groups = np.array(list("aaabbbbccddddde"), object)
    fold = fold_of(groups, len(groups), seed=0, most=3)
    assert all(len(set(fold[groups == g])) == 1 for g in "abcde")
    assert set(fold) == {0, 1, 2}


def test_one_group_is_folded_by_cell():
    fold = fold_of(np.array(["a"] * 50, object), 50, seed=0)
    assert np.bincount(fold).tolist() == [5] * 10
    assert (fold == fold_of(None, 50, seed=0)).all()


def test_validation_rows_judge_where_there_are_some(data):
    rows = judges(data, seed=0)
    assert (rows.fit == data.train).all() and (rows.judge == data.val).all()


def test_without_validation_whole_groups_of_training_rows_judge(data):
    data.val = np.array([], np.int64)
    rows = judges(data, seed=0)
    assert sorted([*rows.fit, *rows.judge]) == data.train.tolist()
    assert not set(data.groups[rows.fit]) & set(data.groups[rows.judge])


def test_correlation_is_pearsons_and_zero_where_nothing_varies():
    rng = np.random.default_rng(0)
    truth, guess = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    guess[:, 2] = 3
    expected = [np.corrcoef(truth[:, i], guess[:, i])[0, 1] if i != 2 else 0 for i in range(4)]
    np.testing.assert_allclose(correlation(truth, guess), expected, atol=1e-9)
    found = mean_correlation(sparse.csr_array(truth), lambda part: guess[:, part])
    np.testing.assert_allclose(found, np.mean(expected), atol=1e-9)
