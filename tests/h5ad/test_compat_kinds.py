"""Cells that are no h5ad: zarr, 10x, loom are read by every command; what is none is named."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse
from support import files
from support.processes import Zygote, leftovers

from scgx.h5ad.reader import open_cells


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("anndata-v0.7.0.adata.zarr.zip", (30, 20)),
        ("anndata-v0.11.4.adata.zarr.zip", (10, 20)),
    ],
)
def test_zarr_in_a_zip_is_read(name: str, shape: tuple[int, int], real_data: Path) -> None:
    pytest.importorskip("zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_cells(real_data / "compat-h5ad" / name) as cells:
            assert cells.shape == shape
            if cells.has("X"):
                assert sum(block.X.shape[0] for block in cells.blocks()) == shape[0]


def test_a_store_that_anndata_cannot_read_is_one_line(real_data: Path, forked: Zygote) -> None:
    pytest.importorskip("zarr")
    ended = forked("info", real_data / "compat-h5ad" / "anndataR-example.zarr.zip")
    assert (ended.code, "anndata cannot read" in ended.line()) == (3, True)


TENX = {
    "cellranger-1.2.0.h5": (12, 343),
    "cellranger-3.0.0.h5": (1107, 507),
    "visium-1.0.0.h5": (100, 100),
    "soma-visium-filtered_feature_bc_matrix.h5": (2695, 100),
    "visium-2.1.0-probe.h5": (4987, 1000),
}


@pytest.mark.parametrize("name", TENX)
def test_ten_x_is_cells_by_ids_with_the_symbol_beside(name: str, real_data: Path) -> None:
    path = real_data / "compat-10x" / name
    with open_cells(path) as cells, h5py.File(path) as file:
        assert cells.shape == TENX[name]
        group = file["matrix"] if "matrix" in file else next(iter(file.values()))
        features = group["features"]["id"] if "features" in group else group["genes"]
        parts = tuple(group[part][()] for part in ("data", "indices", "indptr"))
        theirs = sparse.csc_matrix(parts, shape=tuple(group["shape"][()])).T.toarray()
        ours = np.vstack([block.X.toarray() for block in cells.blocks(memory=1 << 16)])
        assert np.array_equal(ours, theirs)
        assert cells.obs_names.tolist() == [b.decode() for b in group["barcodes"][()]]
        assert cells.var_names.tolist() == [b.decode() for b in features[()]]
        assert "gene_name" in cells.var and "feature_types" in cells.var


def test_two_genomes_need_a_choice(real_data: Path, forked: Zygote, tmp_path: Path) -> None:
    path = real_data / "compat-10x" / "cellranger-1.2.0-multiple_genomes.h5"
    ended = forked("info", path, env={"TMPDIR": str(tmp_path)})
    assert ended.code == 4
    assert "several genomes" in ended.line() and "--10x-genome" in ended.line()
    with h5py.File(path) as file:
        genomes = list(file)
    for genome in genomes:
        ended = forked("info", path, "--10x-genome", genome, "--json")
        assert (ended.code, b'"cells": 12' in ended.out) == (0, True)
    ended = forked("info", path, "--10x-genome", "mm99")
    assert (ended.code, "no genome 'mm99'" in ended.line()) == (4, True)
    assert leftovers(tmp_path) == []


def test_loom_is_read(real_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_cells(real_data / "compat-loom" / "mpfc-starmap.loom") as cells:
            assert cells.shape == (3704, 158)
            assert len(cells.obs.strings("Clusters")) == 3704


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("anndata-io-adata.csv", "text"),
        ("anndata-io-umi_tools.tsv.gz", "gzip"),
        ("anndata-io-excel.xlsx", "zip and no zarr"),
    ],
)
def test_tables_are_named_and_refused(
    name: str, word: str, real_data: Path, forked: Zygote
) -> None:
    ended = forked("info", real_data / "compat-h5ad" / name)
    assert (ended.code, word in ended.line()) == (3, True)


def test_what_nobody_knows_in_uns_crosses_untouched(forked: Zygote, tmp_path: Path) -> None:
    """A24, A25: encodings of tomorrow, awkward shapes, empty and null values."""
    path, out = files.cells(tmp_path / "in.h5ad"), tmp_path / "out.h5ad"
    with h5py.File(path, "r+") as file:
        item = file["uns"].create_group("tomorrow")
        files.mark(item, "quantum-array", "9.0.0")
        item["payload"] = np.arange(7)
        file["uns/null"] = h5py.Empty("f4")
        files.mark(file["uns/null"], "null", "0.1.0")
        file["uns/nothing"] = np.zeros(0)
        file["uns/record"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        item = file["obsm"].create_group("awkward")
        files.mark(item, "awkward-array", "0.1.0")
        item.attrs["length"] = files.N_OBS
        item["node0-offsets"] = np.arange(files.N_OBS + 1)
    for words in (["filter-chrom", "X"], ["split", "--by", "donor"]):
        ended = forked(*words, path, "-o", out, "-q")
        assert ended.code == 0, ended.err
        with h5py.File(out) as made, h5py.File(path) as file:
            assert made["uns/tomorrow"].attrs["encoding-type"] == "quantum-array"
            assert made["uns/tomorrow/payload"][()].tolist() == list(range(7))
            assert made["uns/null"].shape is None
            assert made["uns/nothing"].shape == (0,)
            assert made["uns/record"][()] == file["uns/record"][()]
            assert made["obsm/awkward"].attrs["length"] == files.N_OBS


ODD: dict[str, np.ndarray] = {
    "no cells": np.zeros((0, 12), "f4"),
    "no features": np.zeros((9, 0), "f4"),
    "bool": files.counts() > 0,
    "float16": files.counts().astype("f2"),
    "large uint64": (files.counts() > 2) * np.uint64(2**63 + 1),
    "int8": files.counts().astype("i1"),
    "not a number": np.where(files.counts() > 4, np.nan, files.counts()),
    "big endian": files.counts().astype(">f4"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("storage", ["dense", "csr", "csc"])
def test_odd_matrices_pass_through_exactly(
    kind: str, storage: str, forked: Zygote, tmp_path: Path
) -> None:
    """A22: nothing is lost on the way through a selection; float16 in sparse becomes float32."""
    values = ODD[kind]
    if storage != "dense":
        if values.dtype == np.float16:
            parts = sparse.csr_matrix(values.astype("f4"))
        else:
            parts = sparse.csr_matrix(values.astype(values.dtype.newbyteorder("=")))
        X = parts if storage == "csr" else parts.tocsc()
    else:
        X = values
    path, out = files.cells(tmp_path / "in.h5ad", X), tmp_path / "out.h5ad"
    if values.dtype == np.float16 and storage != "dense":
        with h5py.File(path, "r+") as file:
            half = file["X/data"][()].astype("f2")
            del file["X/data"]
            file["X/data"] = half
    ended = forked("filter-chrom", "X", path, "-o", out, "-q", "--allow-empty")
    if kind == "no features":
        assert ended.code in (0, 4), ended.err
        return
    assert ended.code == 0, ended.err
    keep = np.arange(values.shape[1]) % 3 == 0
    with open_cells(out) as cells:
        assert cells.shape == (len(values), keep.sum())
        blocks = [np.asarray(_dense(block.X)) for block in cells.blocks()]
        ours = np.concatenate(blocks) if blocks else np.zeros((0, int(keep.sum())))
        np.testing.assert_array_equal(ours, values[:, keep])


def _dense(block: object) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else np.asarray(block)


def test_no_matrix_at_all_passes_through(forked: Zygote, tmp_path: Path) -> None:
    path, out = files.cells(tmp_path / "in.h5ad"), tmp_path / "out.h5ad"
    with h5py.File(path, "r+") as file:
        del file["X"]
    for words in (["filter-chrom", "X"], ["split", "--by", "donor"]):
        assert forked(*words, path, "-o", out, "-q").code == 0
        with h5py.File(out) as made:
            assert "X" not in made


def test_repeated_names_are_refused_where_names_pair(forked: Zygote, tmp_path: Path) -> None:
    """A20: a selection keeps them; pairing by name would be a guess."""
    names = ["twin", "twin", "gene2", "gene2", *(f"gene{i}" for i in range(4, 12))]
    path = files.cells(tmp_path / "in.h5ad", var=names)
    out = tmp_path / "out.h5ad"
    assert forked("filter-chrom", "X", path, "-o", out, "-q").code == 0
    cells = files.cells(tmp_path / "cells.h5ad", obs=["same"] * 2 + [f"c{i}" for i in range(38)])
    ended = forked("join", cells, cells, "--as", "rna,adt", "-o", out, "-q")
    assert (ended.code, "same" in ended.line()) == (4, True)
