"""What a network is fed."""

import numpy as np
import pytest

from scgx.learn.prepared import Standard, with_depth


def test_a_standard_brings_training_rows_to_mean_0_and_deviation_1():
    raw = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    standard = Standard.fit(raw)
    assert standard(raw).mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    assert standard(raw).std(axis=0) == pytest.approx(np.ones(4), rel=1e-4)


def test_columns_kept_together_keep_their_relative_sizes():
    raw = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * [4, 2, 7]
    spread = Standard.fit(raw, together=2)(raw).std(axis=0)
    assert spread[0] / spread[1] == pytest.approx(raw[:, 0].std() / raw[:, 1].std(), rel=1e-4)
    assert spread[2] == pytest.approx(1, rel=1e-4)


def test_a_column_that_does_not_vary_becomes_0():
    raw = np.full((9, 1), 5, np.float32)
    assert (Standard.fit(raw)(raw + 1) == 0).all()


def test_depth_is_the_last_column_in_logarithms():
    assert with_depth(np.ones((2, 3)), np.array([0.0, np.e - 1]))[:, 3].tolist() == [0, 1]
