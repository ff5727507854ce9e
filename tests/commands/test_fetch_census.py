"""`scgx fetch census` as a person runs it, on a copy of a Census on this machine."""

import importlib.util

import numpy as np
import pytest
from support.census import Tables, write

from scgx.h5ad.reader import open_cells

HERE = importlib.util.find_spec("tiledbsoma") is not None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["census"], 2),
        (["census", "--where", "cell_type"], 2),
        (["census-naive-b", "--where", "cell_type=T cell"], 2),
        (["census", "--where", "cell_type=B", "--organism", "yeast"], 2),
        (["census", "--where", "cell_type=B", "--cells", "5"], 2),
        (["census", "--where", "cell_type=B", "--offline"], 5),
        (["census", "--where", "cell_type=B", "--modality", "atac"], 4),
        (["pbmc3k", "--where", "cell_type=B"], 2),
        (["pbmc3k", "--genes", "measured:5"], 2),
        (["demo", "--genes", "measured:5"], 2),
    ],
)
def test_what_cannot_be_meant_is_one_line_before_anything_is_opened(run, web, words, code):
    ended = run("fetch", *words)
    assert ended.code == code, ended.err
    assert ended.line()


@pytest.mark.skipif(HERE, reason="the census extra is installed")
def test_without_the_extra_the_fix_is_named(run, web, tmp_path):
    ended = run("fetch", "census", "--where", "cell_type=B", "--from-file", tmp_path)
    assert (ended.code, "scgx[census]" in ended.line()) == (1, True)


@pytest.mark.skipif(not HERE, reason="the census extra is not installed")
def test_a_slice_of_a_copy_is_cells_with_their_story(run, web, tmp_path):
    store = write(tmp_path / "soma", Tables())
    ended = run(
        "fetch", "census-naive-b", "--genes", "measured:6", "--from-file", store,
        "-o", tmp_path / "a.h5ad",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.n_var == 6
        assert set(cells.obs.strings("cell_type")) == {"naive B cell"}
        assert cells.scgx["source"]["genes"] == "measured:6"
        assert cells.scgx["source"]["datasets"].tolist()[0] == "Somebody 2020"
        assert "census-naive-b" in cells.scgx["history"][0]
        assert np.issubdtype(cells.matrix().dtype, np.float32)
