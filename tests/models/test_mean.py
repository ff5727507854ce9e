"""The mean profile."""

import numpy as np
import pytest

from scgx.models.mean import Config, Model
from scgx.progress import Report


@pytest.mark.parametrize("target", ["rna", "atac", "adt", "activity"])
def test_every_cell_gets_the_mean_of_the_training_rows(paired, target):
    data = paired("atac", target)
    model = Model.fit(data, Config(), seed=0, report=Report())
    guess = model.predict(data.block(data.test))
    expected = data.y(data.train).toarray().mean(axis=0)
    assert guess.dtype == np.float32
    np.testing.assert_allclose(guess, np.tile(expected, (len(data.test), 1)), atol=1e-5)


def test_a_restored_model_answers_the_same(paired):
    data = paired()
    model = Model.fit(data, Config(), seed=0, report=Report())
    again = Model.restore(Config(), model.save())
    block = data.block(data.test)
    assert again.predict(block).tobytes() == model.predict(block).tobytes()


def test_a_missing_target_moves_nothing(paired):
    data = paired()
    weights = np.ones(data.targets.shape, np.float32)
    weights[data.train[::2], 3] = 0
    targets = data.targets.toarray()
    expected = targets[data.train[1::2], 3].mean()
    targets[data.train[::2], 3] = 50
    masked = data.but(weights=weights, na=0.0, targets=type(data.targets)(targets))
    model = Model.fit(masked, Config(), seed=0, report=Report())
    np.testing.assert_allclose(model.mean[3], expected, rtol=1e-5)
