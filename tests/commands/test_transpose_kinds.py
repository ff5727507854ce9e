"""`scgx transpose` of what is no text: h5ad, Matrix Market folders, loom, 10x, as a person runs it."""

import h5py
import numpy as np
from scipy.io import mmread
from support import files

from scgx.h5ad.reader import open_cells


def values(path):
    with open_cells(path) as cells:
        return cells.rows("X", np.arange(cells.n_obs)).toarray()


def test_twice_on_a_pipe_is_the_identity_and_both_are_recorded(scgx, tmp_path):
    files.cells(tmp_path / "a.h5ad")
    scgx("transpose", tmp_path / "a.h5ad", "-o", tmp_path / "t.h5ad")
    scgx("transpose", "-", "-o", tmp_path / "b.h5ad", stdin=tmp_path / "t.h5ad")
    np.testing.assert_array_equal(values(tmp_path / "b.h5ad"), files.counts())
    np.testing.assert_array_equal(values(tmp_path / "t.h5ad"), files.counts().T)
    with open_cells(tmp_path / "b.h5ad") as cells:
        assert cells.obs.strings("donor")[1] == "d1"
        assert len(cells.scgx["history"]) == 2


def test_relabelled_or_converted_the_cells_are_the_same(scgx, tmp_path):
    files.cells(tmp_path / "a.h5ad")
    scgx("transpose", "--relabel", tmp_path / "a.h5ad", "-o", tmp_path / "t.h5ad")
    with h5py.File(tmp_path / "t.h5ad") as file:
        assert file["X"].attrs["encoding-type"] == "csc_matrix"
    np.testing.assert_array_equal(values(tmp_path / "t.h5ad"), files.counts().T)


def test_a_matrix_market_folder_is_cells_x_genes(scgx, tmp_path, real_data):
    folder = real_data / "compat-10x" / "3.0.0" / "filtered_feature_bc_matrix"
    wanted = mmread(folder / "matrix.mtx.gz").toarray().T
    for number, argument in enumerate((folder, folder / "matrix.mtx.gz")):
        path = tmp_path / f"{number}.h5ad"
        scgx("transpose", argument, "--memory", "16M", "-o", path)
        np.testing.assert_array_equal(values(path), wanted)
    said = scgx("transpose", "-", code=3, stdin=folder / "matrix.mtx.gz")
    assert "features.tsv" in said.line()


def test_loom_and_10x_lie_as_genes_x_cells_and_come_out_turned(scgx, tmp_path, real_data):
    for name, shape in (
        ("compat-loom/mpfc-starmap.loom", (3704, 158)),
        ("compat-10x/cellranger-3.0.0.h5", (1107, 507)),
    ):
        scgx("transpose", real_data / name, "-o", tmp_path / "a.h5ad")
        assert values(tmp_path / "a.h5ad").shape == shape


def test_a_folder_is_cells_to_every_command(scgx, tmp_path, real_data):
    folder = real_data / "compat-10x" / "3.0.0" / "filtered_feature_bc_matrix"
    scgx("sample", folder, "--n", 50, "-o", tmp_path / "a.h5ad")
    assert values(tmp_path / "a.h5ad").shape == (50, 507)
