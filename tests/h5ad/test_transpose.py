"""Turned cells are what anndata's .T makes of them, and turned twice they are what they were."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse
from support import files

from scgx.errors import InputError
from scgx.h5ad import transpose
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create

anndata = pytest.importorskip("anndata")

REAL = (
    *("anndata-v0.5.0.adata", "anndata-v0.7.0.adata", "anndata-v0.7.8.adata"),
    *("anndata-v0.11.4.adata", "gen_0.13.4_pandas3_zheng", "scanpy-t-cells"),
    *("soma-pbmc-small-1e912f7", "soma-x-none-ba15697", "soma-x-empty-3687904"),
    *("anndataR-example-66b9c76", "zellkonverter-krumsiek11", "cellxgene-example_with_labels"),
)


def turn(path: Path, to: Path, *, memory: int = 1 << 30, relabel: bool = False) -> Path:
    """One transposition, unsigned."""
    with open_cells(path) as cells, create(to) as out:
        transpose.transpose_cells(cells, out, memory=memory, relabel=relabel)
    return to


def loaded(path: Path) -> "anndata.AnnData":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.read_h5ad(path)


def dense(values: object) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def contents(item: h5py.HLObject) -> dict[str, object]:
    """Every value and every attribute below a group, for an exact comparison."""
    found: dict[str, object] = {}

    def note(name: str, one: h5py.HLObject) -> None:
        found[name] = {key: np.asarray(value).tolist() for key, value in one.attrs.items()}
        if isinstance(one, h5py.Dataset):
            found[name, "dtype"] = one.dtype.str
            found[name, "value"] = repr(np.asarray(one[()]).tolist())

    item.visititems(note)
    return found


@pytest.mark.parametrize("name", REAL)
def test_it_is_what_anndata_makes_of_it(real_data, tmp_path, name):
    path = real_data / "compat-h5ad" / f"{name}.h5ad"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = anndata.read_h5ad(path).T
    found = loaded(turn(path, tmp_path / "t.h5ad"))
    assert found.shape == wanted.shape
    assert found.obs_names.tolist() == wanted.obs_names.tolist()
    assert found.var_names.tolist() == wanted.var_names.tolist()
    assert set(found.obs) == set(wanted.obs)
    if wanted.X is not None:
        np.testing.assert_array_equal(dense(found.X), dense(wanted.X))
    for group in ("layers", "obsm", "varm", "obsp", "varp"):
        assert set(getattr(found, group)) == set(getattr(wanted, group))
        for key, value in getattr(wanted, group).items():
            np.testing.assert_array_equal(dense(getattr(found, group)[key]), dense(value))
    assert set(wanted.uns) <= set(found.uns)


@pytest.mark.parametrize("relabel", [False, True])
@pytest.mark.parametrize("name", ["anndata-v0.11.4.adata", "gen_0.13.4_pandas3_zheng"])
def test_twice_is_the_identity_of_every_value_raw_included(real_data, tmp_path, name, relabel):
    first = turn(real_data / "compat-h5ad" / f"{name}.h5ad", tmp_path / "1.h5ad", relabel=relabel)
    second = turn(first, tmp_path / "2.h5ad", relabel=relabel)
    third = turn(second, tmp_path / "3.h5ad", relabel=relabel)
    with h5py.File(first) as one, h5py.File(third) as three:
        assert contents(one) == contents(three)
    before, after = loaded(real_data / "compat-h5ad" / f"{name}.h5ad"), loaded(second)
    np.testing.assert_array_equal(dense(after.X), dense(before.X))
    assert after.obs_names.tolist() == before.obs_names.tolist()
    assert (after.raw is None) == (before.raw is None)
    if before.raw is not None:
        np.testing.assert_array_equal(dense(after.raw.X), dense(before.raw.X))


def made(kind: str, seed: int = 0) -> object:
    values = files.counts(seed, (700, 90))
    values[300:310] = 0
    values[:, 40:44] = 0
    return values if kind == "dense" else sparse.csr_matrix(values).asformat(kind)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_memory_changes_nothing_in_many_blocks(tmp_path, kind):
    """More than ten pieces and ranges: their order is that of the rows, and not of their names."""
    path = files.cells(tmp_path / "a.h5ad", made(kind))
    at_once = turn(path, tmp_path / "whole.h5ad")
    small = turn(path, tmp_path / "small.h5ad", memory=1 << 16)
    with h5py.File(at_once) as one, h5py.File(small) as other:
        assert contents(one) == contents(other)
        if kind != "dense":
            assert one["X"].attrs["encoding-type"] == "csr_matrix"
    np.testing.assert_array_equal(dense(loaded(small).X), dense(made(kind)).T)


def test_a_csc_matrix_is_the_same_three_arrays_by_another_name(tmp_path):
    X = made("csc")
    path = turn(files.cells(tmp_path / "a.h5ad", X), tmp_path / "t.h5ad")
    with h5py.File(path) as file:
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(file["X"][part][()], getattr(X, part))


def test_explicit_zeros_and_whole_numbers_stay(tmp_path):
    X = sparse.csr_matrix(
        (np.array([0, 5, 2**40]), np.array([1, 0, 2]), np.array([0, 1, 3])), shape=(2, 3)
    )
    path = turn(files.cells(tmp_path / "a.h5ad", X), tmp_path / "t.h5ad")
    with h5py.File(path) as file:
        assert file["X/data"][()].tolist() == [5, 0, 2**40]
        assert file["X/data"].dtype == np.int64


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_no_cells_or_no_features_are_turned_too(tmp_path, shape, kind):
    X = np.zeros(shape, dtype=np.float32)
    X = X if kind == "dense" else sparse.csr_matrix(X).asformat(kind)
    path = turn(files.cells(tmp_path / "a.h5ad", X), tmp_path / "t.h5ad")
    assert loaded(path).shape == shape[::-1]


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("relabel", [False, True])
def test_an_index_outside_of_the_matrix_is_refused(tmp_path, kind, relabel):
    path = files.cells(tmp_path / "a.h5ad", made(kind))
    with h5py.File(path, "r+") as file:
        file["X/indices"][7] = 100_000
    with pytest.raises(InputError, match="outside"):
        turn(path, tmp_path / "t.h5ad", relabel=relabel)


def test_a_raw_that_no_longer_fits_is_left_out_in_words(tmp_path, real_data, capsys):
    path = turn(real_data / "compat-h5ad" / "gen_0.13.4_pandas3_zheng.h5ad", tmp_path / "t.h5ad")
    fewer = loaded(path)[:, :100]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fewer.write_h5ad(tmp_path / "f.h5ad")
    turn(tmp_path / "f.h5ad", tmp_path / "b.h5ad")
    assert "left out" in capsys.readouterr().err
    assert loaded(tmp_path / "b.h5ad").raw is None
