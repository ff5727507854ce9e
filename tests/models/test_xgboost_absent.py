"""Trees that are asked without some of their features."""

import json

import numpy as np
import pytest

from scgx.models._xgboost_absent import without

xgboost = pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def booster():
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (300, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.poisson(1, 300)).astype(int) % 3
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "nthread": 1}
    return xgboost.train(settings, xgboost.DMatrix(x, label=y), 5), x


def by_hand(booster, x: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Margins (cells, 3): every cell walks every tree, down both branches where it cannot know."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    base = booster.predict(xgboost.DMatrix(x[:1]), output_margin=True, iteration_range=(0, 1))
    first = np.zeros((1, 3))
    made = np.zeros((len(x), 3))

    def walk(tree, cell, at):
        left, right = tree["left_children"][at], tree["right_children"][at]
        value, feature = tree["split_conditions"][at], tree["split_indices"][at]
        if left < 0:
            return value
        if present[feature]:
            return walk(tree, cell, left if cell[feature] < value else right)
        a, b = tree["sum_hessian"][left], tree["sum_hessian"][right]
        return (a * walk(tree, cell, left) + b * walk(tree, cell, right)) / (a + b)

    for number, (tree, code) in enumerate(zip(model["trees"], model["tree_info"], strict=True)):
        for i, cell in enumerate(x):
            made[i, code] += walk(tree, cell, 0)
        if number < 3:
            here = present.copy()
            present[:] = True
            first[0, code] += walk(tree, x[0], 0)
            present[:] = here
    return made + base - first


@pytest.mark.parametrize("gone", [[], [0], [1, 3], [0, 1, 2], [0, 1, 2, 3, 4, 5]])
def test_both_branches_answer_by_their_training_cells(booster, gone: list[int]) -> None:
    trees, x = booster
    present = np.ones(6, bool)
    present[gone] = False
    made = xgboost.Booster()
    left = without(bytes(trees.save_raw("json")), present)
    made.load_model(bytearray(left.forest))
    assert left.worth == pytest.approx(1) if not gone else left.worth >= 1
    seen = x[:40].copy()
    seen[:, ~present] = 99  # whatever stands there is not asked for
    found = made.predict(xgboost.DMatrix(seen), output_margin=True)
    np.testing.assert_allclose(found, by_hand(trees, x[:40], present), atol=1e-5)
    shap = made.predict(xgboost.DMatrix(seen), pred_contribs=True)
    np.testing.assert_allclose(shap.sum(axis=2), found, atol=1e-4)
    assert not shap[:, :, :-1][:, :, ~present].any()
