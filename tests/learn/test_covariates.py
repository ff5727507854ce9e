"""Columns of obs as codes."""

import numpy as np
import pytest

from scgx.errors import DataError
from scgx.h5ad.frame import Frame, categorical
from scgx.learn.covariates import Covariates

OBS = Frame(
    np.array(["a", "b", "c", "d"], object),
    {
        "sex": categorical(np.array(["m", "f", "m", None], object)),
        "age": np.array(["old", "new", "new", "odd"], object),
    },
)


def test_levels_come_from_training_rows_in_sorted_order_and_0_is_unknown():
    found = Covariates.fit(OBS, ("sex", "age"), np.array([0, 1, 2]))
    assert found.levels == (("f", "m"), ("new", "old"))
    assert found.sizes == (3, 3)
    assert found.codes(OBS).tolist() == [[2, 2], [1, 1], [2, 1], [0, 0]]


def test_they_survive_saving():
    found = Covariates.fit(OBS, ("sex",), np.arange(4))
    assert Covariates.restore(found.save()) == found


def test_no_covariates_are_codes_of_no_columns():
    assert Covariates.fit(OBS, (), np.arange(4)).codes(OBS).shape == (4, 0)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="no column 'batch'"):
        Covariates.fit(OBS, ("batch",), np.arange(4))


def test_a_measurement_is_no_covariate_but_few_whole_numbers_are():
    names = np.array([f"c{i}" for i in range(60)], object)
    obs = Frame(names, {"depth": np.arange(60) * 1.5, "week": np.arange(60) % 3})
    rows = np.arange(60)
    with pytest.raises(DataError, match=r"'depth'\] is numeric, 60 values in 60 cells"):
        Covariates.fit(obs, ("depth",), rows)
    assert Covariates.fit(obs, ("week",), rows).levels == (("0", "1", "2"),)
