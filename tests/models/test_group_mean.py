"""The mean profile of a group."""

import numpy as np
import pytest

from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import categorical
from scgx.models.group_mean import Config, Model
from scgx.progress import Report

BY_TYPE = Config(covariates=("cell_type",))


def test_a_cell_gets_the_mean_of_the_training_cells_of_its_type(paired):
    data = paired()
    model = Model.fit(data, BY_TYPE, seed=0, report=Report())
    guess = model.predict(data.block(data.test))
    kinds = data.obs.strings("cell_type")
    truth = data.y(data.train).toarray()
    for kind in "ABCD":
        expected = truth[kinds[data.train] == kind].mean(axis=0)
        rows = guess[kinds[data.test] == kind]
        np.testing.assert_allclose(rows, np.tile(expected, (len(rows), 1)), atol=1e-5)


def test_two_covariates_make_combinations(paired):
    data = paired()
    model = Model.fit(data, Config(covariates=("batch", "cell_type")), seed=0, report=Report())
    assert ("b0", "A") in model.groups and len(model.means) == len(model.groups) + 1


def test_an_unseen_or_missing_level_gets_the_mean_of_all_and_is_said_once(paired, capsys):
    data = paired()
    model = Model.fit(data, BY_TYPE, seed=0, report=Report())
    odd = ["elsewhere", None, "A"]
    block = data.block(data.test[:3])
    block = type(block)(
        block.x, block.obs.with_column("cell_type", categorical(odd)), block.totals, block.present
    )
    guess = [model.predict(block) for _ in range(2)][0]
    overall = data.y(data.train).toarray().mean(axis=0)
    np.testing.assert_allclose(guess[0], overall, atol=1e-5)
    np.testing.assert_allclose(guess[1], overall, atol=1e-5)
    assert np.abs(guess[2] - overall).max() > 0.05
    assert capsys.readouterr().err.count("no training cell is elsewhere") == 1


def test_a_restored_model_answers_the_same(paired):
    data = paired()
    model = Model.fit(data, BY_TYPE, seed=0, report=Report())
    again = Model.restore(BY_TYPE, model.save())
    block = data.block(data.test)
    assert again.predict(block).tobytes() == model.predict(block).tobytes()


def test_no_covariate_and_an_unknown_one_are_refused_in_words(paired):
    data = paired()
    with pytest.raises(UsageError, match="needs to know the groups"):
        Model.fit(data, Config(), seed=0, report=Report())
    with pytest.raises(DataError, match="no column 'donor'"):
        Model.fit(data, Config(covariates=("donor",)), seed=0, report=Report())
    depth = data.obs.with_column("depth", np.arange(len(data.obs)) * 1.5)
    with pytest.raises(DataError, match="is numeric"):
        Model.fit(data.but(obs=depth), Config(covariates=("depth",)), seed=0, report=Report())
