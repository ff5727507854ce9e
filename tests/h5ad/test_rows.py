"""Rows of a file: what anndata makes of them in memory, for every kind of array a file may hold."""

import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgx.errors import InputError
from scgx.h5ad import rows as engine
from scgx.h5ad.reader import open_cells
from scgx.h5ad.rows import WRITTEN, select_rows
from scgx.h5ad.writer import create

N, M = 211, 13
KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}
ROWS = {
    "some": np.arange(1, N, 3),
    "a run": np.arange(50, 120),
    "one": np.array([210]),
    "all": np.arange(N),
}


def values(seed: int, shape: tuple[int, int], dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.4, shape).astype(dtype)


@pytest.fixture(scope="module", params=KINDS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with everything that goes by rows; X of one kind, layers of all."""
    kind = KINDS[request.param]
    whole = anndata.AnnData(kind(values(0, (N, M))))
    whole.obs_names = [f"c{i}" for i in range(N)]
    whole.var_names = [f"G{i}" for i in range(M)]
    whole.obs["type"] = pd.Categorical([f"t{i % 4}" for i in range(N)])
    whole.obs["n"] = np.arange(N)
    whole.obs["maybe"] = pd.array([i if i % 3 else None for i in range(N)], dtype="Int64")
    whole.var["mean"] = np.arange(M) / 2
    whole.raw = anndata.AnnData(
        kind(values(1, (N, M + 4), np.int32)),
        obs=whole.obs[[]],
        var=pd.DataFrame(index=[f"R{i}" for i in range(M + 4)]),
    )
    for number, (name, make) in enumerate(KINDS.items()):
        whole.layers[name] = make(values(number + 2, (N, M), np.int64))
        whole.obsm[f"m_{name}"] = make(values(number + 5, (N, 6), np.float64))
        whole.obsp[f"p_{name}"] = make(values(number + 8, (N, N)))
    whole.layers["zeros"] = sp.csr_matrix(
        (np.zeros(3, np.float32), [1, 4, 2], [0, 2] + [3] * (N - 1)), shape=(N, M)
    )
    whole.obsm["cube"] = np.arange(N * 6).reshape(N, 2, 3)
    whole.obsm["table"] = pd.DataFrame(
        {"x": np.arange(N), "y": [f"w{i}" for i in range(N)]}, index=whole.obs_names
    )
    whole.varm["load"] = values(11, (M, 3))
    whole.varp["near"] = sp.csr_matrix(values(12, (M, M)))
    whole.uns["said"] = {"words": np.array(["a", "b"], dtype=object), "n": 3}
    path = tmp_path_factory.mktemp("rows") / "whole.h5ad"
    whole.write_h5ad(path, compression="gzip")
    return path


OLD = ("anndata-v0.5.0.adata", "scanpy-pbmc68k-2018", "soma-pbmc-small-842fc1e", "scanpy-t-cells")


@pytest.mark.parametrize("name", OLD)
def test_rows_of_an_old_file_are_what_anndata_takes(name, real_data, tmp_path):
    """Tables as compounds, raw.X at the top, graphs of cells in uns."""
    path, out = real_data / "compat-h5ad" / f"{name}.h5ad", tmp_path / "out.h5ad"
    whole = loaded(path)
    rows = np.arange(0, whole.n_obs, 2)
    taken(path, out, rows)
    equal(loaded(out), whole[rows].copy())


def taken(path: Path, out: Path, rows: np.ndarray, memory: int | None = None) -> list[str]:
    with open_cells(path, memory=memory) as cells, create(out, like=cells) as made:
        lost = select_rows(cells, made, rows)
        made.copy_rest(cells, skip=WRITTEN)
    return lost


def loaded(path: Path) -> anndata.AnnData:
    """What anndata makes of a file, of old and of odd ones too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.read_h5ad(path)


def same(ours: object, theirs: object) -> None:
    """Equal, of the same type of storage, of the same type of number."""
    if isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs)
    elif theirs is None:
        assert ours is None
    else:
        assert getattr(ours, "format", "dense") == getattr(theirs, "format", "dense")
        assert ours.dtype == theirs.dtype
        plain = [m.toarray() if sp.issparse(m) else np.asarray(m) for m in (ours, theirs)]
        np.testing.assert_array_equal(*plain)


def equal(ours: anndata.AnnData, theirs: anndata.AnnData) -> None:
    for axis in ("obs", "var"):
        one, other = getattr(ours, axis), getattr(theirs, axis)
        for table in (one, other):  # categories that no cell is left with are kept by scgx
            for name in table.select_dtypes("category"):
                table[name] = table[name].cat.remove_unused_categories()
        pd.testing.assert_frame_equal(one, other, check_names=False)
    same(ours.X, theirs.X)
    for group in ("layers", "obsm", "obsp", "varm", "varp"):
        one, other = getattr(ours, group), getattr(theirs, group)
        assert set(one) == set(other)
        for name in other:
            same(one[name], other[name])
    assert (ours.raw is None) == (theirs.raw is None)
    if theirs.raw is not None:
        same(ours.raw.X, theirs.raw.X)
        pd.testing.assert_frame_equal(ours.raw.var, theirs.raw.var, check_names=False)


@pytest.mark.parametrize("which", ROWS)
@pytest.mark.parametrize("slab", [7, 1 << 19])
def test_rows_are_what_anndata_takes(file, which, slab, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_SLAB", slab)
    rows, out = ROWS[which], tmp_path / "out.h5ad"
    assert taken(file, out, rows, memory=None if slab > 7 else 4096) == []
    ours = loaded(out)
    equal(ours, loaded(file)[rows].copy())
    assert list(ours.uns["said"]["words"]) == ["a", "b"]


def test_stored_zeros_and_packing_are_kept_and_the_rest_is_verbatim(file, tmp_path):
    out = tmp_path / "out.h5ad"
    taken(file, out, np.arange(100))
    with h5py.File(file) as before, h5py.File(out) as after:
        assert list(after["layers/zeros/indices"]) == [1, 4, 2]
        for key in ("layers/csr/data", "layers/csc/indices", "layers/dense", "obsm/m_dense"):
            assert (after[key].compression, after[key].fletcher32) == ("gzip", True)
        for key in ("var/mean", "varm/load", "varp/near/data", "uns/said/n"):
            assert np.array_equal(before[key][()], after[key][()])


def test_no_rows_are_an_empty_file(file, tmp_path):
    out = tmp_path / "out.h5ad"
    taken(file, out, np.array([], dtype=np.int64))
    assert loaded(out).shape == (0, M)


def test_half_floats_keep_their_type(tmp_path):
    path, out = tmp_path / "half.h5ad", tmp_path / "out.h5ad"
    anndata.AnnData(sp.csr_matrix(values(0, (9, 4)))).write_h5ad(path)
    with h5py.File(path, "r+") as handle:
        halves = handle["X/data"][()].astype(np.float16)
        del handle["X/data"]
        handle["X/data"] = halves
    taken(path, out, np.array([2, 5]))
    with h5py.File(out) as after:
        assert after["X/data"].dtype == np.float16


def test_an_index_that_reaches_outside_is_refused(tmp_path):
    path = tmp_path / "bad.h5ad"
    anndata.AnnData(sp.csc_matrix(values(0, (9, 4)))).write_h5ad(path)
    with h5py.File(path, "r+") as handle:
        handle["X/indices"][0] = 99
    with pytest.raises(InputError, match="outside"):
        taken(path, tmp_path / "out.h5ad", np.array([2, 5]))


def test_what_has_no_rows_is_left_out_by_name(tmp_path):
    path, out = tmp_path / "odd.h5ad", tmp_path / "out.h5ad"
    anndata.AnnData(sp.csr_matrix(values(0, (9, 4)))).write_h5ad(path)
    with h5py.File(path, "r+") as handle:
        handle.require_group("obsm/odd").attrs["encoding-type"] = "awkward-array"
    assert taken(path, out, np.array([2, 5])) == ["obsm/odd"]
    assert loaded(out).shape == (2, 4)
