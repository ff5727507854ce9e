"""Loom files: genes x cells turned block by block, and what is said of both sides kept."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from support import files

from scgx.errors import InputError
from scgx.h5ad.loom import write_loom
from scgx.h5ad.reader import open_cells


def made(path: Path, X: np.ndarray, **options: object) -> Path:
    """A loom file of version 2 with the cells x genes of X."""
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=X.T, **options)
        file.create_dataset("layers/spliced", data=X.T * 2, **options)
        rows, cells = file.create_group("row_attrs"), file.create_group("col_attrs")
        rows["Gene"] = np.array([f"g{i // 2}" for i in range(X.shape[1])], dtype="S")
        rows["Accession"] = np.array([f"E{i}" for i in range(X.shape[1])], dtype="S")
        cells["CellID"] = np.array([f"c{i}" for i in range(X.shape[0])], dtype="S")
        cells["Cluster"] = np.arange(X.shape[0]) % 3
        cells["Kind"] = np.array(["a", "b"] * (X.shape[0] // 2), dtype="S")
        cells["Where"] = np.arange(2.0 * X.shape[0]).reshape(-1, 2)
        graph = file.create_group("col_graphs/knn")
        graph["a"], graph["b"], graph["w"] = [0, 1], [1, 2], [0.5, 0.25]
        file.attrs["title"], file.attrs["n"] = "mine", 3
    return path


@pytest.mark.parametrize("memory", [1 << 15, 1 << 30])
@pytest.mark.parametrize("options", [{}, {"chunks": (8, 16)}, {"chunks": (4, 500)}], ids=str)
def test_it_is_turned_whatever_its_chunks(tmp_path, memory, options):
    X = files.counts(1, (500, 30)).astype(np.int32)
    path = made(tmp_path / "a.loom", X, **options)
    with h5py.File(path) as file:
        write_loom(file, "a.loom", memory, tmp_path / "a.h5ad")
    with open_cells(tmp_path / "a.h5ad") as cells:
        every = np.arange(500)
        np.testing.assert_array_equal(cells.rows("X", every).toarray(), X)
        np.testing.assert_array_equal(cells.rows("layers/spliced", every).toarray(), 2 * X)
        assert cells.matrix().dtype == np.int32


def test_tables_arrays_graphs_and_facts_are_kept(tmp_path, capsys):
    path = made(tmp_path / "a.loom", files.counts(1, (40, 6)))
    with open_cells(path) as cells:
        assert cells.obs_names[:2].tolist() == ["c0", "c1"]
        assert cells.var_names[:3].tolist() == ["g0", "g0-1", "g1"]
        assert cells.var.strings("Accession")[1] == "E1"
        assert cells.obs["Cluster"].tolist() == [i % 3 for i in range(40)]
        assert cells.obs.strings("Kind")[1] == "b"
        assert cells.h5["obsm/Where"].shape == (40, 2)
        assert cells.h5["obsp/knn"].attrs["shape"].tolist() == [40, 40]
        assert cells.h5["uns/loom/title"][()] == b"mine"
        assert cells.h5["uns/loom/n"][()] == 3
    assert "Gene repeats" in capsys.readouterr().err


def test_an_attribute_of_another_length_is_refused(tmp_path):
    path = made(tmp_path / "a.loom", files.counts(1, (40, 6)))
    with h5py.File(path, "r+") as file:
        file["col_attrs/Bad"] = np.arange(7)
    with pytest.raises(InputError, match="col_attrs/Bad"), open_cells(path):
        pass


def test_a_real_file_has_its_genes_cells_and_places(real_data):
    with open_cells(real_data / "compat-loom" / "mpfc-starmap.loom") as cells:
        assert cells.shape == (3704, 158)
        assert cells.h5["obsm/Spatial_coordinates"].shape == (3704, 2)
        with h5py.File(real_data / "compat-loom" / "mpfc-starmap.loom") as file:
            wanted = file["matrix"][()].T
        np.testing.assert_array_equal(cells.rows("X", np.arange(3704)).toarray(), wanted)
