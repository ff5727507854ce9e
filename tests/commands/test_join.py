"""`scgx join` as a process: pairing, layers, names, metadata, MuData."""

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from scgx.h5ad.cells import Cells
from scgx.h5ad.reader import open_cells

BARCODES = [f"{b:016b}".replace("0", "A").replace("1", "C") for b in range(1, 41)]


def make(
    path: Path,
    features: list[str],
    *,
    names: list[str] | None = None,
    obs: dict[str, object] | None = None,
    seed: int = 0,
) -> Path:
    """A file of counts, CSR float32."""
    names = [f"{barcode}-1" for barcode in BARCODES] if names is None else names
    counts = np.random.default_rng(seed).poisson(1.0, (len(names), len(features)))
    cells = anndata.AnnData(sp.csr_matrix(counts.astype(np.float32)))
    cells.obs_names, cells.var_names = names, features
    for column, values in (obs or {}).items():
        cells.obs[column] = values
    cells.write_h5ad(path)
    return path


GENES = [f"ENSG{i:011d}" for i in range(12)]
PEAKS = [f"chr1:{100 * i}-{100 * i + 50}" for i in range(1, 9)]


@pytest.fixture
def rna(tmp_path: Path) -> Path:
    return make(tmp_path / "rna.h5ad", GENES, obs={"n": range(40), "type": ["T", "B"] * 20})


@pytest.fixture
def atac(tmp_path: Path) -> Path:
    obs = {"n": range(1, 41), "type": ["T", "B"] * 20, "frip": np.linspace(0, 1, 40)}
    return make(tmp_path / "atac.h5ad", PEAKS, obs=obs, seed=1)


def whole(cells: Cells, key: str = "X") -> np.ndarray:
    return np.vstack([sp.csr_array(block.X).toarray() for block in cells.blocks(key)])


def dense(path: Path) -> np.ndarray:
    with open_cells(path) as cells:
        return whole(cells)


def shuffle(source: Path, target: Path) -> Path:
    cells = anndata.read_h5ad(source)
    order = np.random.default_rng(5).permutation(cells.n_obs)
    cells[order].copy().write_h5ad(target)
    return target


def test_features_stand_side_by_side_for_the_same_cells(scgx, rna, atac, tmp_path):
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, atac, "-o", out).err
    assert "40 cells are in all 2 files" in said and "by exact name" in said
    with open_cells(out) as cells:
        assert np.array_equal(whole(cells), np.hstack([dense(rna), dense(atac)]))
        assert cells.var_names.tolist() == GENES + PEAKS
        types = cells.var.strings("feature_types").tolist()
        assert types == ["Gene Expression"] * 12 + ["Peaks"] * 8
        assert list(cells.obs.columns) == ["GEX_n", "ATAC_n", "type", "frip"]
        assert cells.scgx["units"] == {"X": {"rna": "counts", "atac": "counts"}}


def test_a_shuffled_copy_joins_to_the_same_bytes(scgx, rna, atac, tmp_path):
    mixed = shuffle(atac, tmp_path / "mixed.h5ad")
    one, other = tmp_path / "one.h5ad", tmp_path / "other.h5ad"
    scgx("join", rna, atac, "-o", one, "--no-history")
    scgx("join", rna, mixed, "-o", other, "--no-history")
    assert one.read_bytes() == other.read_bytes()


def test_cells_that_one_file_lacks_are_dropped_and_counted(scgx, rna, tmp_path):
    names = [f"{barcode}-1" for barcode in BARCODES[30:]] + ["other-1"]
    some = make(tmp_path / "some.h5ad", PEAKS, names=names)
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, some, "-o", out).err
    assert "rna, 10 cells kept, 30 dropped" in said
    assert "atac, 10 cells kept, 1 dropped" in said
    with open_cells(out) as cells:
        assert cells.obs_names.tolist() == names[:10]
        assert np.array_equal(whole(cells), np.hstack([dense(rna)[30:], dense(some)[:10]]))


def test_barcodes_pair_without_their_suffix_and_the_rule_is_said(scgx, rna, tmp_path):
    bare = make(tmp_path / "bare.h5ad", PEAKS, names=BARCODES[::-1])
    said = scgx("join", rna, bare, "-o", tmp_path / "out.h5ad").err
    assert "by name without the trailing" in said
    with open_cells(tmp_path / "out.h5ad") as cells:
        assert np.array_equal(whole(cells)[:, 12:], dense(bare)[::-1])


def test_no_common_cell_is_refused_and_position_only_when_asked(scgx, rna, tmp_path):
    odd = make(tmp_path / "odd.h5ad", PEAKS, names=[f"cell{i}" for i in range(40)])
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, odd, "-o", out, code=4).err
    assert "no cell name is in both" in said and "--allow-positional" in said
    assert not out.exists()
    said = scgx("join", rna, odd, "-o", out, "--allow-positional").err
    assert "by position" in said
    few = make(tmp_path / "few.h5ad", PEAKS, names=[f"cell{i}" for i in range(39)])
    said = scgx("join", rna, few, "-o", out, "--allow-positional", code=4).err
    assert "40 and 39 cells do not pair by position" in said


def test_two_files_of_one_modality_are_refused_and_as_names_them(scgx, rna, tmp_path):
    activity = make(tmp_path / "activity.h5ad", GENES[4:] + ["ENSG9"], seed=3)
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, activity, "-o", out, code=4).err
    assert "both hold rna" in said and "--as" in said
    scgx("join", rna, activity, "--as", "rna,activity", "-o", out)
    with open_cells(out) as cells:
        assert cells.var_names[12] == f"{GENES[4]}:activity"
        assert cells.var.strings("gene_id").tolist() == GENES + GENES[4:] + ["ENSG9"]
        assert cells.scgx["units"]["X"] == {"rna": "counts", "activity": "counts"}
    assert "--as names 3" in scgx("join", rna, activity, "--as", "rna,rna,rna", code=2).err


def test_shared_genes_are_kept_and_the_totals_of_all_remembered(scgx, rna, tmp_path):
    activity = make(tmp_path / "activity.h5ad", [*GENES[:3:-1], "ENSG9"], seed=3)
    out = tmp_path / "out.h5ad"
    scgx("join", rna, activity, "--as", "rna,activity", "--shared-genes", "-o", out)
    with open_cells(out) as cells:
        ids = cells.var.strings("gene_id")
        assert sorted(ids[:8]) == sorted(ids[8:]) == GENES[4:]
        totals = cells.obs.numbers("total_counts_rna")
        assert np.array_equal(totals, dense(rna).sum(axis=1))
        assert np.array_equal(cells.obs.numbers("total_counts_activity"), dense(activity).sum(1))


def test_counts_are_filled_from_x_and_other_layers_are_dropped_and_named(scgx, rna, atac, tmp_path):
    cells = anndata.read_h5ad(rna)
    cells.layers["counts"] = cells.X.copy()
    cells.layers["spliced"] = cells.X.copy()
    cells.X = sp.csr_matrix(np.log1p(cells.X.toarray() / 3))
    cells.write_h5ad(tmp_path / "log.h5ad")
    out = tmp_path / "out.h5ad"
    said = scgx("join", tmp_path / "log.h5ad", atac, "-o", out).err
    assert "left out: spliced" in said
    with open_cells(out) as joined:
        assert joined.keys("layers") == ["counts"]
        counts = np.hstack([dense(rna), dense(atac)])
        assert np.array_equal(whole(joined, "layers/counts"), counts)
        assert joined.scgx["units"]["X"] == {"rna": "log1p-cp10k", "atac": "counts"}
        assert joined.scgx["units"]["counts"] == {"rna": "counts", "atac": "counts"}


def test_metadata_joins_by_barcode(scgx, rna, atac, tmp_path):
    table = tmp_path / "cells.csv"
    lines = [f"{barcode},d{i % 3},{i}" for i, barcode in enumerate(BARCODES[:30])]
    table.write_text("\n".join(["barcode,donor,age", *lines[::-1]]) + "\n")
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, "--obs", table, "-o", out).err
    assert "10 cells are not in it" in said
    with open_cells(out) as cells:
        assert cells.obs.strings("donor").tolist() == [f"d{i % 3}" for i in range(30)] + [None] * 10
        assert cells.obs.numbers("age")[:30].tolist() == list(range(30))
        assert np.array_equal(whole(cells), dense(rna))
    scgx("join", rna, atac, "--obs", table, "-o", out)
    with open_cells(out) as cells:
        assert cells.obs.strings("donor")[4] == "d1"


def test_arrays_over_cells_follow_and_what_cannot_is_named(scgx, rna, atac, tmp_path):
    cells = anndata.read_h5ad(atac)
    cells.obsm["X_lsi"] = np.arange(80.0).reshape(40, 2)
    cells.obsp["near"] = sp.identity(40, format="csr")
    cells.write_h5ad(tmp_path / "lsi.h5ad")
    mixed = shuffle(tmp_path / "lsi.h5ad", tmp_path / "mixed.h5ad")
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, mixed, "-o", out).err
    assert "obsp/near" in said
    with h5py.File(out) as file:
        assert np.array_equal(file["obsm/X_lsi"][()], np.arange(80.0).reshape(40, 2))


def test_repeated_names_are_refused(scgx, rna, tmp_path):
    twice = make(tmp_path / "twice.h5ad", [PEAKS[0], *PEAKS[:7]])
    out = tmp_path / "out.h5ad"
    said = scgx("join", rna, twice, "-o", out, code=4).err
    assert "'chr1:100-150'" in said and "--make-unique" in said
    scgx("join", rna, twice, "-o", out, "--make-unique")
    cells = make(tmp_path / "cells.h5ad", PEAKS, names=["a-1", "a-1", "b-1"])
    said = scgx("join", cells, rna, "-o", out, code=4).err
    assert "1 cell names occur more than once: 'a-1'" in said


def test_one_file_may_come_on_stdin(scgx, rna, atac):
    done = scgx("join", "-", atac, stdin=rna)
    assert done.out.startswith(b"\x89HDF")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-", "-"], "named once"),
        (["one.h5ad"], "nothing to join"),
        (["a.h5ad", "b.h5ad", "--format", "csv"], "no format"),
    ],
)
def test_usage_errors_leave_at_once(scgx, words, says):
    assert says in scgx("join", *words, code=2).err


def test_two_assemblies_are_refused(scgx, rna, atac, tmp_path):
    for path, genome in ((rna, "mm10"), (atac, "GRCm39")):
        with h5py.File(path, "r+") as file:
            file.create_group("uns/scgx")["genome"] = genome
    said = scgx("join", rna, atac, "-o", tmp_path / "out.h5ad", code=4).err
    assert "mm10" in said and "GRCm39" in said


def test_mudata_has_the_modalities_and_the_maps(scgx, rna, atac, tmp_path):
    out = tmp_path / "out.h5mu"
    scgx("join", rna, shuffle(atac, tmp_path / "mixed.h5ad"), "-o", out)
    assert out.read_bytes()[:6] == b"MuData"
    with h5py.File(out) as file:
        assert file.attrs["encoding-type"] == "MuData"
        assert list(file["mod"].attrs["mod-order"]) == ["rna", "atac"]
        for name, count in (("rna", 12), ("atac", 8)):
            inner = file["mod"][name]
            assert inner.attrs["encoding-type"] == "anndata"
            assert tuple(inner["X"].attrs["shape"]) == (40, count)
            assert file["obsm"][name][()].all()
            assert file["varm"][name][()].sum() == count
            assert file["obsmap"][name][()].tolist() == list(range(1, 41))
            assert np.count_nonzero(file["varmap"][name][()]) == count
        index = [name.decode() for name in file["mod/atac/obs/_index"][()]]
        assert index == [f"{barcode}-1" for barcode in BARCODES]
    with open_cells(out) as cells:
        assert np.array_equal(whole(cells), np.hstack([dense(rna), dense(atac)]))


def test_real_files_join_as_anndata_concatenates_them(scgx, real_data, tmp_path):
    folder = real_data / "multiome-bmmc-neurips"
    out = tmp_path / "out.h5ad"
    scgx("join", folder / "set1.rna.h5ad", folder / "set1.atac.h5ad", "-o", out)
    with open_cells(out) as cells:
        assert cells.shape == (500, 1200)
        parts = [dense(folder / "set1.rna.h5ad"), dense(folder / "set1.atac.h5ad")]
        assert np.array_equal(whole(cells), np.hstack(parts))
        assert "cell_type" in cells.obs and "GEX_cell_type" not in cells.obs
        assert cells.scgx["units"]["counts"] == {"rna": "counts", "atac": "counts"}


def test_a_file_without_any_feature_column_is_rna(scgx, real_data, tmp_path):
    folder = real_data / "multiome-snare-mouse-cortex"
    out = tmp_path / "out.h5ad"
    files = [folder / "snare_rna_counts.h5ad", folder / "snare_atac_counts.h5ad"]
    scgx("join", *files, "-o", out, "--memory", "64M")
    with open_cells(out) as cells:
        assert cells.shape == (10_309, 27_411)
        assert cells.matrix().nnz == 1_018_463 + 1_097_506
        assert cells.var.numbers("start")[:1677].max() == -1
