"""Stacked evidence: two heads on what is held out by group."""

from dataclasses import replace

import numpy as np
import pytest

from scgx.learn.block import CellBlock
from scgx.learn.selection import correlation
from scgx.models.stacked import FROM, NETWORK_SHARES, TO, Config, Model
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


def fitted(data, config=FIXED):
    return Model.fit(data, config, seed=0, report=Report())


def held_out_correlation(data, model):
    truth = data.y(data.test).toarray()
    return correlation(truth, model.predict(data.block(data.test))).mean()


@pytest.mark.parametrize(
    ("source", "target"), [("atac", "rna"), ("activity", "rna"), ("rna", "atac")]
)
def test_a_direction_finds_signal_in_units_of_its_target(paired, source, target):
    assert source in FROM and target in TO
    data = paired(source, target)
    model = fitted(data)
    guess = model.predict(data.block(data.test))
    assert guess.dtype == np.float32 and guess.shape == (len(data.test), len(data.outputs))
    assert held_out_correlation(data, model) > (0.2 if "atac" in (source, target) else 0.4)
    if target == "atac":
        assert guess.min() >= 0 and guess.max() <= 1


def test_shuffled_pairing_leaves_nothing_to_find(paired):
    data = paired()
    rows = np.random.default_rng(0).permutation(len(data.obs))
    shuffled = data.but(targets=data.targets[rows])
    assert abs(held_out_correlation(shuffled, fitted(shuffled))) < 0.1


@pytest.mark.parametrize("has_validation", [True, False])
def test_what_is_chosen_is_at_least_as_good_as_a_poor_choice(paired, has_validation):
    data = paired()
    if not has_validation:
        data = data.but(val=np.array([], np.int64))
    assert held_out_correlation(data, fitted(data, FIXED)) > 0.25


def test_test_rows_do_not_enter_the_fit(paired):
    data = paired()
    targets = data.targets.toarray()
    targets[data.test] = 99
    other = data.but(targets=type(data.targets)(targets))
    assert fitted(data).save() == fitted(other).save()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_each_head_alone_finds_signal(paired, share):
    data = paired()
    assert held_out_correlation(data, fitted(data, replace(FIXED, network_share=share))) > 0.3


def test_a_share_is_chosen_and_kept(paired):
    model = fitted(paired())
    assert model.mixing["share"][0] in np.array(NETWORK_SHARES, np.float32)


def test_the_same_seed_gives_the_same_bytes(paired):
    data = paired()
    assert fitted(data).save() == fitted(data).save()


def test_a_restored_model_answers_the_same(paired):
    data = paired()
    model = fitted(data)
    again = Model.restore(FIXED, model.save())
    block = data.block(data.test)
    assert again.predict(block).tobytes() == model.predict(block).tobytes()
    assert again.save() == model.save()


def test_a_cells_answer_does_not_depend_on_its_place_in_a_block(paired):
    data = paired()
    model = fitted(data)
    order = np.random.default_rng(0).permutation(len(data.test))
    there = model.predict(data.block(data.test[order]))
    assert (there == model.predict(data.block(data.test))[order]).all()


def test_half_of_the_features_still_give_half_of_the_answer(paired):
    data = paired()
    model = fitted(data)
    whole = data.block(data.test)
    present = np.random.default_rng(0).random(len(data.inputs)) < 0.5
    dense = whole.x.toarray() * present
    half = CellBlock(type(whole.x)(dense), whole.obs, whole.totals, present)
    truth = data.y(data.test).toarray()
    found = correlation(truth, model.predict(half)).mean()
    assert found > held_out_correlation(data, model) / 2


def test_a_missing_target_moves_nothing(paired):
    data = paired()
    weights = np.ones(data.targets.shape, np.float32)
    weights[data.train[::3], 3] = 0
    changed = data.targets.toarray()
    changed[data.train[::3], 3] = 50
    first = data.but(weights=weights, na=0.0)
    second = first.but(targets=type(data.targets)(changed))
    assert fitted(first).save() == fitted(second).save()
