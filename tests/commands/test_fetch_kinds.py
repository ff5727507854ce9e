"""`scgx fetch` of sets that are no single h5ad: text with its table, Matrix Market, zips, by name."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmread
from support import files
from support.web import Web

from scgx.datasets import _catalog
from scgx.h5ad.reader import open_cells


def stand_in(web: Web, monkeypatch: pytest.MonkeyPatch, name: str, *bodies: bytes) -> None:
    """Serve the files of a dataset of the registry, in their order, from this machine."""
    pairs = []
    for number, (file, body) in enumerate(zip(_catalog.load(name).files, bodies, strict=True)):
        address = file.urls[0].partition("?")[0]
        place = f"/{number}/{address.rpartition('/')[2]}"
        pairs.append(f"{address}={web.url(place, web.serve(body))}")
    monkeypatch.setenv("SCGX_BASE_URLS", " ".join(pairs))


def dense(path: Path) -> np.ndarray:
    with open_cells(path) as cells:
        found = cells.rows("X", np.arange(cells.n_obs))
    return found.toarray() if sparse.issparse(found) else found


def test_a_cell_browser_set_is_its_matrix_turned_with_its_table(
    web, tmp_path, monkeypatch, run, real_data
):
    folder = real_data / "cellbrowser-cortex-mini"
    matrix, meta = folder / "exprMatrix.tsv.gz", folder / "meta.tsv"
    name = "bhaduri2020-primary"
    stand_in(web, monkeypatch, name, matrix.read_bytes(), meta.read_bytes())
    ended = run("fetch", name, "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    assert "2,902 cells are not in it" in ended.err
    wanted = pd.read_csv(matrix, sep="\t", index_col=0).T
    table = pd.read_csv(meta, sep="\t", index_col=0).reindex(wanted.index)
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.obs_names.tolist() == wanted.index.tolist()
        assert cells.var_names.tolist() == wanted.columns.tolist()
        found = [w or None for w in cells.obs.strings("WGCNAcluster")]
        assert found == [None if pd.isna(w) else w for w in table["WGCNAcluster"]]
        assert cells.scgx["source"]["matrix"]["url"].endswith("exprMatrix.tsv.gz")
        assert cells.scgx["source"]["meta"]["sha256"]
    np.testing.assert_allclose(dense(tmp_path / "a.h5ad"), wanted.to_numpy(), rtol=1e-15)
    assert len(web.hits) == 2
    assert run("fetch", name, "--offline", "-o", tmp_path / "b.h5ad").code == 0


def tar_of(folder: Path, inside: str, extra: tuple[str, ...] = ()) -> bytes:
    """A tar.gz with the files of a folder; `extra` are members that must not matter."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in extra:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        for path in sorted(folder.iterdir()):
            archive.add(path, f"{inside}/{path.name}")
            archive.add(path, f"other/{path.name}")
    return buffer.getvalue()


def test_a_matrix_market_folder_in_a_tar_becomes_h5ad(web, tmp_path, monkeypatch, run, real_data):
    folder = real_data / "compat-10x" / "1.2.0" / "filtered_gene_bc_matrices" / "hg19_chr21"
    inside = "filtered_gene_bc_matrices/hg19"
    body = tar_of(folder, inside, ("../escape", f"{inside}/matrix.mtx"))
    monkeypatch.setenv("SCGX_BASE_URLS", f"https://cf.10xgenomics.com={web.base}")
    path = "/samples/cell/pbmc3k/pbmc3k_filtered_gene_bc_matrices.tar.gz"
    web.url(path, web.serve(body))
    ended = run("fetch", "pbmc3k-mtx", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(
        dense(tmp_path / "a.h5ad"), mmread(folder / "matrix.mtx").toarray().T
    )
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.var_names[0] == "DSCAM"
    assert not (tmp_path.parent / "escape").exists()


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_cut_tar_is_one_error(web, tmp_path, monkeypatch, run, real_data, kept):
    folder = real_data / "compat-10x" / "3.0.0" / "filtered_feature_bc_matrix"
    body = tar_of(folder, "filtered_gene_bc_matrices/hg19")
    monkeypatch.setenv("SCGX_BASE_URLS", f"https://cf.10xgenomics.com={web.base}")
    path = "/samples/cell/pbmc3k/pbmc3k_filtered_gene_bc_matrices.tar.gz"
    web.url(path, web.serve(body[: int(kept * len(body))]))
    ended = run("fetch", "pbmc3k-mtx", "-q", "-o", tmp_path / "a.h5ad")
    assert ended.code in (3, 4), ended.err
    assert ended.line()


def test_a_matrix_market_set_of_three_files_becomes_h5ad(
    web, tmp_path, monkeypatch, run, real_data
):
    folder = real_data / "compat-10x" / "3.0.0" / "filtered_feature_bc_matrix"
    rows = ["name\tpart\tkind\trecipe\tformat\turls\tcontent"]
    for part in ("matrix", "features", "barcodes"):
        source = next(folder.glob(f"{part}*"))
        url = web.url(f"/{part}", web.serve(source.read_bytes()))
        rows.append(f"mine\t{part}\trna\tmtx\ttsv.gz\t{url}\tmine")
    (tmp_path / "mine.tsv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("SCGX_CATALOG", str(tmp_path / "mine.tsv"))
    ended = run("fetch", "mine", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    wanted = mmread(folder / "matrix.mtx.gz").toarray().T
    np.testing.assert_array_equal(dense(tmp_path / "a.h5ad"), wanted)


def test_a_perturbation_zip_gives_only_the_member_that_is_named(web, tmp_path, monkeypatch, run):
    files.cells(tmp_path / "m.h5ad")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adamson/data_pyg/cell_graphs.pkl", b"\x80\x04")
        archive.write(tmp_path / "m.h5ad", "adamson/perturb_processed.h5ad")
    stand_in(web, monkeypatch, "adamson2016-gears", buffer.getvalue())
    ended = run("fetch", "adamson2016-gears", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(dense(tmp_path / "a.h5ad"), dense(tmp_path / "m.h5ad"))


def test_the_fetal_atlas_keeps_its_raw_counts_and_its_labels(web, tmp_path, monkeypatch, run):
    """E-ANND-5: X normalised, counts in raw, doublets as words; nothing of that is touched."""
    path = files.cells(tmp_path / "m.h5ad")
    with h5py.File(path, "r+") as file:
        table = file["obs"]
        files.text(table, "celltype_annotation", ["MAST_CELL", "DOUBLET_X"] * 20)
        files.text(table, "predicted_doublets", ["False", "True"] * 20)
        order = [*table.attrs["column-order"], "celltype_annotation", "predicted_doublets"]
        table.attrs["column-order"] = np.array(order, dtype=files.TEXT)
        raw = file.create_group("raw")
        files.mark(raw, "raw", "0.1.0")
        files.matrix(raw, "X", sparse.csr_matrix(files.counts(5)))
        file.copy(file["var"], raw, name="var")
    stand_in(web, monkeypatch, "e-annd-5", path.read_bytes())
    ended = run("fetch", "e-annd-5", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.obs.strings("predicted_doublets")[1] == "True"
        np.testing.assert_array_equal(cells.rows("raw/X", np.arange(40)).toarray(), files.counts(5))


def test_a_text_set_with_a_table_of_other_cells_is_refused(web, tmp_path, monkeypatch, run):
    matrix = gzip.compress(b"gene\tc1\tc2\nA\t1\t2\nB\t3\t4\n")
    stand_in(web, monkeypatch, "allen-m1", matrix, b"cell\tkind\nother\tx\n")
    ended = run("fetch", "allen-m1", "-q", "-o", tmp_path / "a.h5ad")
    assert ended.code == 4, ended.err
    assert "meta" in ended.line()
    assert not (tmp_path / "a.h5ad").exists()


def test_any_set_of_the_cell_browser_is_fetched_by_its_place_there(web, tmp_path, monkeypatch, run):
    monkeypatch.setenv("SCGX_BASE_URLS", f"https://cells.ucsc.edu={web.base}")
    matrix = gzip.compress(b"gene\tc1\tc2\nA\t1\t2\nB\t3\t4\n")
    web.url("/a/b/exprMatrix.tsv.gz", web.serve(matrix))
    web.url("/a/b/meta.tsv", web.serve(b"cell\tkind\nc2\tx\n"))
    ended = run("fetch", "ucsc:a/b", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(dense(tmp_path / "a.h5ad"), [[1, 3], [2, 4]])
    assert run("fetch", "ucsc:../b", "-q").code == 2


def test_a_set_that_is_no_text_is_looked_for_as_matrix_market(web, tmp_path, monkeypatch, run):
    monkeypatch.setenv("SCGX_BASE_URLS", f"https://cells.ucsc.edu={web.base}")
    monkeypatch.setenv("SCGX_TRIES", "1")
    text = b"%%MatrixMarket matrix coordinate integer general\n2 2 2\n1 1 5\n2 2 7\n"
    pages = {"matrix.mtx": text, "features.tsv": b"E1|A\nE2|B\n", "barcodes.tsv": b"c1\nc2\n"}
    for name, body in pages.items():
        web.url(f"/big/{name}.gz", web.serve(gzip.compress(body)))
    web.url("/big/meta.tsv", web.serve(b"cell\tkind\nc2\tx\nc1\ty\n"))
    ended = run("fetch", "ucsc:big", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(dense(tmp_path / "a.h5ad"), [[5, 0], [0, 7]])
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.obs.strings("kind").tolist() == ["y", "x"]
    assert run("fetch", "ucsc:nowhere", "-q", "-o", tmp_path / "b.h5ad").code == 5


def test_a_text_at_any_address_becomes_h5ad_where_that_is_the_output(web, tmp_path, run):
    url = web.url("/x.tsv.gz", web.serve(gzip.compress(b"gene\tc1\tc2\nA\t1\t2\nB\t3\t4\n")))
    ended = run("fetch", url, "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(dense(tmp_path / "a.h5ad"), [[1, 3], [2, 4]])
