"""What every model that solves for its answer has to do, on small paired cells in memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from models.conftest import Paired, make_paired

from scgx import registry
from scgx.learn.block import CellBlock
from scgx.learn.selection import correlation
from scgx.progress import Report


@dataclass(frozen=True)
class Case:
    """A model, knobs with which nothing is chosen, and what it has to find."""

    name: str
    fixed: dict[str, object]
    floor: float = 0.4  # of the held-out correlation where no side is chromatin
    directions: tuple[tuple[str, str], ...] | None = None  # None: all that it declares
    chooses: bool = True  # quick enough to let it choose its knobs
    looks_at_validation: bool = False  # even where the knobs are given

    @property
    def module(self) -> Any:
        return registry.load("models", self.name)

    def config(self, *, chosen: bool = False) -> Any:
        return self.module.Config(**({} if chosen and self.chooses else self.fixed))

    def fit(self, data: Paired, *, chosen: bool = False) -> Any:
        return self.module.Model.fit(data, self.config(chosen=chosen), seed=0, report=Report())


CASES = [
    Case("knn", {"neighbours": 15, "rank": 8}, floor=0.3),
    Case("ridge", {"rank": 5, "penalty": 0.1}),
    Case("kernel-ridge", {"components": 6, "penalty": 3.0, "gamma": 0.7, "second_penalty": 1.0}),
    Case(
        "stacked",
        {"components": 6, "penalty": 4.0, "gamma": 0.7, "second_penalty": 1.0, "members": 2,
         "epochs": 12, "kinds": 4, "hidden": 32},
        directions=(("atac", "rna"), ("activity", "rna"), ("rna", "atac")),
        chooses=False, looks_at_validation=True,
    ),
]  # fmt: skip
MARKS = {"stacked": pytest.mark.torch}


def _parameter(case: Case, *more: object) -> Any:
    marks = [MARKS[case.name]] if case.name in MARKS else []
    words = "-".join([case.name, *map(str, more)])
    return pytest.param(case, *more, marks=marks, id=words)


def _directions() -> list[Any]:
    return [
        _parameter(case, source, target)
        for case in CASES
        for source, target in case.directions
        or product(sorted(case.module.FROM), sorted(case.module.TO))
    ]


each = pytest.mark.parametrize("case", [_parameter(case) for case in CASES])


def found(data: Paired, model: Any) -> float:
    """The mean correlation per feature on the test rows."""
    truth = data.y(data.test).toarray()
    return float(correlation(truth, model.predict(data.block(data.test))).mean())


@pytest.mark.parametrize(("case", "source", "target"), _directions())
def test_every_direction_finds_signal_in_units_of_its_target(
    case: Case, source: str, target: str
) -> None:
    assert source in case.module.FROM and target in case.module.TO
    data = make_paired(source, target)
    model = case.fit(data)
    guess = model.predict(data.block(data.test))
    assert guess.dtype == np.float32 and guess.shape == (len(data.test), len(data.outputs))
    assert found(data, model) > (0.2 if "atac" in (source, target) else case.floor)
    if target == "atac":
        assert guess.min() >= 0 and guess.max() <= 1


@each
def test_shuffled_pairing_leaves_nothing_to_find(case: Case) -> None:
    data = make_paired()
    rows = np.random.default_rng(0).permutation(len(data.obs))
    shuffled = data.but(targets=data.targets[rows])
    assert abs(found(shuffled, case.fit(shuffled))) < 0.1


@each
@pytest.mark.parametrize("has_validation", [True, False])
def test_what_is_chosen_is_at_least_as_good_as_a_poor_choice(
    case: Case, has_validation: bool
) -> None:
    data = make_paired()
    if not has_validation:
        data = data.but(val=np.array([], np.int64))
    assert found(data, case.fit(data, chosen=True)) > 0.25


@each
def test_targets_of_test_and_validation_do_not_enter_a_fixed_fit(case: Case) -> None:
    data = make_paired()
    targets = data.targets.toarray()
    targets[data.test] = 99
    if not case.looks_at_validation:
        targets[data.val] = -99
    other = data.but(targets=type(data.targets)(targets))
    assert case.fit(data).save() == case.fit(other).save()


@each
def test_the_same_seed_gives_the_same_bytes(case: Case) -> None:
    data = make_paired()
    assert case.fit(data, chosen=True).save() == case.fit(data, chosen=True).save()


@each
def test_a_restored_model_answers_the_same(case: Case) -> None:
    data = make_paired()
    model = case.fit(data)
    again = case.module.Model.restore(case.config(), model.save())
    block = data.block(data.test)
    assert again.predict(block).tobytes() == model.predict(block).tobytes()
    assert again.save() == model.save()


@each
def test_a_cells_answer_does_not_depend_on_its_place_in_a_block(case: Case) -> None:
    data = make_paired()
    model = case.fit(data)
    order = np.random.default_rng(0).permutation(len(data.test))
    there = model.predict(data.block(data.test[order]))
    assert (there == model.predict(data.block(data.test))[order]).all()


@each
def test_half_of_the_features_still_give_half_of_the_answer(case: Case) -> None:
    data = make_paired()
    model = case.fit(data)
    whole = data.block(data.test)
    present = np.random.default_rng(0).random(len(data.inputs)) < 0.5
    dense = whole.x.toarray() * present
    half = CellBlock(type(whole.x)(dense), whole.obs, whole.totals, present)
    truth = data.y(data.test).toarray()
    assert correlation(truth, model.predict(half)).mean() > found(data, model) / 2


@each
def test_a_missing_target_moves_nothing(case: Case) -> None:
    data = make_paired()
    weights = np.ones(data.targets.shape, np.float32)
    weights[data.train[::3], 3] = 0
    changed = data.targets.toarray()
    changed[data.train[::3], 3] = 50
    first = data.but(weights=weights, na=0.0)
    second = first.but(targets=type(data.targets)(changed))
    assert case.fit(first).save() == case.fit(second).save()
