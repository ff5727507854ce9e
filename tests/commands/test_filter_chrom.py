"""`scgx filter-chrom` as a process."""

import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgx.commands.filter_chrom import filter_chrom
from scgx.errors import InputError
from scgx.h5ad import trailer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create

CHROMS = ["X", "chrX", "23", "NC_000023.11", "ChrX", "chrX_random", "chr1", "1", "MT", None]


def scgx(*words: object, code: int = 0, stdin: bytes | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scgx", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done


def cells(kind: str = "csr") -> anndata.AnnData:
    """Twelve cells, ten genes on chromosomes of every spelling, everything that an AnnData can hold."""
    rng = np.random.default_rng(3)
    dense = rng.poisson(0.8, (12, 10)).astype(np.float32)
    values = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[kind]
    data = anndata.AnnData(values(dense))
    data.obs_names = [f"c{i}" for i in range(12)]
    data.var_names = [f"g{i}" for i in range(10)]
    data.obs["type"] = pd.Categorical(["a", "b"] * 6)
    data.var["chrom"] = pd.Categorical(CHROMS)
    data.var["start"] = np.arange(10) * 100
    data.var["end"] = np.arange(10) * 100 + 50
    data.raw = data.copy()
    data.layers["double"] = values(dense * 2)
    data.varm["loadings"] = rng.random((10, 3))
    data.varp["near"] = sparse.csr_matrix(rng.random((10, 10)))
    data.obsm["pca"] = rng.random((12, 2))
    data.obsp["knn"] = sparse.csr_matrix(rng.random((12, 12)))
    data.uns["note"] = "kept"
    return data


def written(data: anndata.AnnData, folder: Path) -> Path:
    data.write_h5ad(folder / "in.h5ad")
    return folder / "in.h5ad"


def full(matrix: object) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_every_spelling_of_x_is_x_and_the_rest_of_the_file_is_as_it_was(kind, tmp_path):
    before = cells(kind)
    said = scgx("filter-chrom", "X", written(before, tmp_path), "-o", tmp_path / "o.h5ad").stderr
    after, expected = anndata.read_h5ad(tmp_path / "o.h5ad"), before[:, :5]
    assert after.var_names.tolist() == ["g0", "g1", "g2", "g3", "g4"]
    assert np.array_equal(full(after.X), full(expected.X))
    assert np.array_equal(full(after.layers["double"]), full(expected.layers["double"]))
    assert np.array_equal(after.varm["loadings"], expected.varm["loadings"])
    assert np.array_equal(full(after.varp["near"]), full(expected.varp["near"]))
    assert np.array_equal(after.obsm["pca"], before.obsm["pca"])
    assert np.array_equal(full(after.obsp["knn"]), full(before.obsp["knn"]))
    assert after.raw.shape == (12, 10)
    assert after.uns["note"] == "kept"
    assert after.obs["type"].tolist() == before.obs["type"].tolist()
    assert after.var["chrom"].tolist() == before.var["chrom"].tolist()[:5]
    assert np.array_equal(after.obs["total_counts_rna"], full(before.X).sum(axis=1))
    assert b"kept 5 of 10 features" in said
    assert b"left out 1 features without a chromosome" in said
    assert b"23 read as chrX" in said


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ("chr1", ["g6", "g7"]),
        ("chr1:601-650", ["g6"]),
        ("1:651-700", []),
        ("1:1-1,000,MT", ["g6", "g7", "g8"]),
        ("^X,^MT", ["g5", "g6", "g7"]),
        ("X,^X:1-250", ["g3", "g4"]),
    ],
)
def test_lists_regions_and_exclusions(wish, names, tmp_path):
    path = written(cells(), tmp_path)
    filter_chrom(wish, str(path), str(tmp_path / "o.h5ad"), allow_empty=True)
    assert anndata.read_h5ad(tmp_path / "o.h5ad").var_names.tolist() == names


def test_a_pipe_and_a_path_give_the_same_bytes(tmp_path):
    path = written(cells(), tmp_path)
    scgx("filter-chrom", "X", path, "-o", tmp_path / "o.h5ad", "--no-history")
    piped = scgx("filter-chrom", "X", "--no-history", stdin=path.read_bytes()).stdout
    assert piped == (tmp_path / "o.h5ad").read_bytes()


def test_totals_of_each_modality_are_kept_once(tmp_path):
    data = cells()
    data.var["feature_types"] = ["Gene Expression"] * 6 + ["Peaks"] * 4
    dense = full(data.X)
    filter_chrom("X", str(written(data, tmp_path)), str(tmp_path / "a.h5ad"))
    filter_chrom("X:1-100", str(tmp_path / "a.h5ad"), str(tmp_path / "b.h5ad"))
    after = anndata.read_h5ad(tmp_path / "b.h5ad")
    assert after.n_vars == 1
    assert np.array_equal(after.obs["total_counts_rna"], dense[:, :6].sum(axis=1))
    assert np.array_equal(after.obs["total_counts_atac"], dense[:, 6:].sum(axis=1))


def test_nothing_selected_is_refused_and_the_old_output_stays(tmp_path):
    path = written(cells(), tmp_path)
    (tmp_path / "o.h5ad").write_text("old")
    said = scgx("filter-chrom", "Y", path, "-o", tmp_path / "o.h5ad", code=4).stderr.decode()
    assert "no feature lies on Y (chromosomes here: chrX, chrX_random, chr1, chrM)" in said
    assert (tmp_path / "o.h5ad").read_text() == "old"
    filter_chrom("Y", str(path), str(tmp_path / "o.h5ad"), allow_empty=True)
    assert anndata.read_h5ad(tmp_path / "o.h5ad").shape == (12, 0)


def test_everything_selected_is_a_warning(tmp_path):
    data = cells()[:, :9].copy()
    said = scgx(
        "filter-chrom", "^Y", "-q", "-o", tmp_path / "o.h5ad", written(data, tmp_path)
    ).stderr
    assert b"warning: every feature was kept" in said


def test_another_column_is_named_and_can_be_chosen(tmp_path):
    data = cells()
    data.var = data.var.rename(columns={"chrom": "chromosome"})
    path = written(data, tmp_path)
    said = scgx("filter-chrom", "X", path, "-o", tmp_path / "o.h5ad", code=4).stderr.decode()
    assert "found 'chromosome' (use --chrom-col chromosome)" in said
    filter_chrom("X", str(path), str(tmp_path / "o.h5ad"), chrom_col="chromosome")
    assert anndata.read_h5ad(tmp_path / "o.h5ad").n_vars == 5


def test_genes_without_coordinates_name_the_command_that_adds_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "cache"))
    data = cells()
    data.var = data.var.drop(columns=["chrom", "start", "end"])
    data.var_names = [f"chr1:{i}-{i + 5}" for i in range(5)] + [f"g{i}" for i in range(5)]
    data.var["feature_types"] = ["Peaks"] * 5 + ["Gene Expression"] * 5
    path = written(data, tmp_path)
    said = scgx("filter-chrom", "1", path, "-o", tmp_path / "o.h5ad", code=4).stderr.decode()
    assert "no rna feature has a chromosome (scgx annotate-coords --gtf FILE adds them)" in said


def test_genes_without_coordinates_are_looked_up_in_a_fetched_annotation(
    real_data, tmp_path, monkeypatch
):
    gtf = real_data / "genes-coordinates" / "gencode_v48_genes_only.gtf.gz"
    monkeypatch.setattr("scgx.commands._annotation.cached", {"gencode-human": gtf}.get)
    path = real_data / "multiome-bmmc-neurips" / "set1.rna.h5ad"
    filter_chrom("X", str(path), str(tmp_path / "o.h5ad"))
    with open_cells(tmp_path / "o.h5ad") as after:
        assert after.n_var == 17
        assert set(after.var.strings("chrom")) == {"chrX"}
        assert after.scgx["genome"] == "GRCh38"


def test_peaks_are_placed_by_their_names(real_data, tmp_path):
    path = real_data / "multiome-bmmc-neurips" / "set1.atac.h5ad"
    filter_chrom("x", str(path), str(tmp_path / "o.h5ad"))
    with open_cells(path) as before, open_cells(tmp_path / "o.h5ad") as after:
        on_x = np.array([name.startswith("chrX-") for name in before.var_names])
        assert after.var_names.tolist() == before.var_names[on_x].tolist()
        every = np.arange(before.n_obs)
        assert (after.rows("X", every) != before.rows("X", every)[:, on_x]).nnz == 0
        assert set(after.var.strings("chrom")) == {"chrX"}


@pytest.mark.parametrize("wish", ["chr1:9-1", "a:b", ""])
def test_what_is_no_region_is_a_usage_error(wish, tmp_path):
    said = scgx("filter-chrom", wish, tmp_path / "none.h5ad", "-o", tmp_path / "o", code=2).stderr
    assert said.count(b"\n") == 1


def test_a_changed_byte_of_a_large_signed_file_is_refused_whatever_it_hits(tmp_path, monkeypatch):
    path, out = tmp_path / "in.h5ad", tmp_path / "o.h5ad"
    with create(path) as made:
        made.frame("obs", Frame(np.array([f"c{i}" for i in range(400)], dtype=object)))
        names = np.array([f"g{i}" for i in range(100)], dtype=object)
        chrom = categorical(["chr1"] * 60 + ["chrX"] * 40)
        made.frame("var", Frame(names, {"chrom": chrom}))
        values = np.random.default_rng(0).poisson(1.0, (400, 100)).astype(np.float32)
        with made.matrix("X", 100, np.float32) as append:
            append(sparse.csr_array(values))
    monkeypatch.setattr(trailer, "_SMALL", 1000)
    filter_chrom("X", str(path), str(out), quiet=True)
    whole, kept = path.read_bytes(), out.read_bytes()
    with open_cells(out) as found:
        np.testing.assert_array_equal(full(found.matrix("X").slice(0, 400)), values[:, 60:])
    with h5py.File(path) as file:
        chunks = [file["X"][part].id.get_chunk_info(0).byte_offset for part in ("data", "indices")]
    for place in (chunks[0] + 3, chunks[1], chunks[1] + 2):  # a value, a column, one far outside
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match="corrupt"):
            filter_chrom("X", str(path), str(out), quiet=True)
        assert out.read_bytes() == kept
