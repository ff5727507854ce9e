"""The published five-gene sample gives the figures that were measured on it."""

import importlib.util
import json
from pathlib import Path

import pytest
from support.processes import Zygote

from scgx.h5ad.reader import open_cells

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "zhu2023_sample.py"


@pytest.fixture(scope="module")
def sample(real_data, tmp_path_factory) -> Path:
    """The h5ad that the example makes."""
    spec = importlib.util.spec_from_file_location("zhu2023_sample", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path_factory.mktemp("zhu") / "zhu5.h5ad"
    module.main(str(real_data / "zhu2023-sample-5genes" / "sample.csv"), str(path))
    return path


def test_coordinates_with_thousands_separators_are_numbers(sample):
    with open_cells(sample) as cells:
        assert cells.var["start"].tolist() == [5840636, 9463319, 10015253, 10156974, 10445309] * 2
        assert cells.var["end"][0] == 6228867
        assert set(cells.var.strings("chrom")) == {"chrX"}


def test_the_split_is_the_published_one(sample):
    with open_cells(sample) as cells:
        parts = cells.obs.strings("split").tolist()
    assert [parts.count(part) for part in ("train", "val", "test")] == [3275, 1092, 1092]


def test_the_mean_and_the_group_mean_reproduce(sample, forked: Zygote):
    """MSE .1324 and .1298: what every published network is to be compared with."""
    folder, covariates = sample.parent, ("--covariate", "age_group", "--covariate", "sex")
    for model, options in (("mean", ()), ("group-mean", covariates)):
        roles = ("--from", "activity", "--to", "rna", "--units", "log1p-counts", *options)
        out = folder / f"{model}.scgx"
        assert forked("train", model, sample, *roles, "-o", out).code == 0
        assert forked("predict", out, sample, "-o", folder / f"{model}.h5ad").code == 0
    guesses = (folder / "mean.h5ad", folder / "group-mean.h5ad")
    ended = forked("score", sample, *guesses, *covariates, "--json")
    assert ended.code == 0, ended.err
    mse = json.loads(ended.out)["metrics"]["mse"]["values"]
    assert round(mse["mean"]["value"], 4) == 0.1324
    assert round(mse["group-mean"]["value"], 4) == 0.1298
