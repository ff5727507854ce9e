"""Stacked evidence: two heads on what is held out by group. The rest: tests/conformance."""

from dataclasses import replace

import numpy as np
import pytest

from scgx.learn.selection import correlation
from scgx.models.stacked import NETWORK_SHARES, Config, Model
from scgx.progress import Report

pytestmark = pytest.mark.torch

FIXED = Config(
    components=6,
    penalty=4.0,
    gamma=0.7,
    second_penalty=1.0,
    members=2,
    epochs=12,
    kinds=4,
    hidden=32,
)


def fitted(data, config):
    return Model.fit(data, config, seed=0, report=Report())


def held_out_correlation(data, model):
    truth = data.y(data.test).toarray()
    return correlation(truth, model.predict(data.block(data.test))).mean()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_each_head_alone_finds_signal(paired, share):
    data = paired()
    assert held_out_correlation(data, fitted(data, replace(FIXED, network_share=share))) > 0.3


def test_a_share_is_chosen_and_kept(paired):
    model = fitted(paired(), FIXED)
    assert model.mixing["share"][0] in np.array(NETWORK_SHARES, np.float32)
