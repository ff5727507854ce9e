"""`scgx normalize` as a process: units in, units out, counts kept."""

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from support.processes import shell

from scgx.cells import normalize
from scgx.h5ad.cells import Cells
from scgx.h5ad.reader import open_cells

GENES = [f"G{i}" for i in range(20)]
PEAKS = [f"chr2:{100 * i}-{100 * i + 50}" for i in range(1, 31)]


def counts_of(width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.8, (60, width)).astype(np.float32)


RNA, ATAC = counts_of(20, 0), counts_of(30, 1)


def write(path: Path, values: np.ndarray, features: list[str], **layers: np.ndarray) -> Path:
    cells = anndata.AnnData(sp.csr_matrix(values))
    cells.obs_names = [f"c{i}" for i in range(len(values))]
    cells.var_names = features
    for name, layer in layers.items():
        cells.layers[name] = sp.csr_matrix(layer)
    cells.write_h5ad(path)
    return path


@pytest.fixture
def rna(tmp_path: Path) -> Path:
    return write(tmp_path / "rna.h5ad", RNA, GENES)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """RNA and ATAC in one table, with a split."""
    cells = anndata.AnnData(sp.csr_matrix(np.hstack([RNA, ATAC])))
    cells.obs_names = [f"c{i}" for i in range(60)]
    cells.var_names = GENES + PEAKS
    cells.var["feature_types"] = ["Gene Expression"] * 20 + ["Peaks"] * 30
    cells.obs["split"] = ["train"] * 40 + ["val"] * 5 + ["test"] * 15
    cells.write_h5ad(tmp_path / "both.h5ad")
    return tmp_path / "both.h5ad"


def whole(cells: Cells, key: str = "X") -> np.ndarray:
    return np.vstack([sp.csr_array(block.X).toarray() for block in cells.blocks(key)])


def test_each_modality_gets_its_own_and_counts_stay(scgx, both, tmp_path):
    out = tmp_path / "out.h5ad"
    said = scgx("normalize", both, "-o", out).err
    assert "idf of atac learnt on 40 training cells" in said
    with open_cells(out) as cells:
        x = whole(cells)
        assert np.array_equal(x[:, :20], normalize.log1p_cp10k(RNA))
        weights = normalize.idf(normalize.document_frequency(ATAC[:40]), 40)
        assert np.array_equal(x[:, 20:], normalize.tfidf(ATAC, weights))
        assert cells.matrix().dtype == np.float32
        assert np.array_equal(whole(cells, "layers/counts"), np.hstack([RNA, ATAC]))
        assert cells.scgx["units"] == {
            "X": {"rna": "log1p-cp10k", "atac": "tfidf"},
            "counts": {"rna": "counts", "atac": "counts"},
        }
        fitted = json.loads(cells.scgx["fitted"]["X"]["atac"])
        assert fitted == {"by": "normalize tfidf", "cells": 40, "rows": "train"}
        assert np.array_equal(cells.var.numbers("idf")[20:], weights)


def test_other_modalities_stay_as_they_are(scgx, both, tmp_path):
    out = tmp_path / "out.h5ad"
    scgx("normalize", both, "--modality", "rna", "-o", out)
    with open_cells(out) as cells:
        assert np.array_equal(whole(cells)[:, 20:], ATAC)
        assert np.array_equal(whole(cells)[:, :20], normalize.log1p_cp10k(RNA))
        assert cells.scgx["units"]["X"] == {"rna": "log1p-cp10k", "atac": "counts"}
    again = tmp_path / "again.h5ad"
    scgx("normalize", out, "--method", "binary", "-o", again)
    with open_cells(again) as cells:
        assert np.array_equal(whole(cells)[:, 20:], ATAC > 0)
        assert np.array_equal(whole(cells)[:, :20], normalize.log1p_cp10k(RNA))
        assert np.array_equal(whole(cells, "layers/counts"), np.hstack([RNA, ATAC]))


def test_normalising_twice_is_refused(scgx, rna, tmp_path):
    once = tmp_path / "once.h5ad"
    scgx("normalize", rna, "-o", once)
    said = scgx("normalize", once, "-o", tmp_path / "twice.h5ad", code=4).err
    assert "rna is log1p-cp10k" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "twice.h5ad").exists()


def test_counts_come_back_from_a_layer_and_from_raw(scgx, rna, tmp_path):
    once, back = tmp_path / "once.h5ad", tmp_path / "back.h5ad"
    scgx("normalize", rna, "-o", once)
    scgx("normalize", once, "--method", "counts", "-o", back)
    with open_cells(back) as cells:
        assert np.array_equal(whole(cells), RNA)
        assert cells.scgx["units"]["X"] == {"rna": "counts"}
    cells = anndata.read_h5ad(rna)
    cells.raw = cells.copy()
    cells.X = normalize.log1p_cp10k(sp.csr_array(RNA))
    cells[:, ::-2].copy().write_h5ad(tmp_path / "raw.h5ad")
    scgx("normalize", tmp_path / "raw.h5ad", "--method", "counts", "-o", back)
    with open_cells(back) as cells:
        assert np.array_equal(whole(cells), RNA[:, ::-2])


def test_log_of_whole_counts_is_recognised_and_undone(scgx, tmp_path):
    logged = write(tmp_path / "logged.h5ad", np.log1p(RNA), GENES)
    out = tmp_path / "out.h5ad"
    scgx("normalize", logged, "--method", "counts", "-o", out)
    with open_cells(out) as cells:
        assert np.array_equal(whole(cells), RNA)
    scgx("normalize", logged, "-o", out)
    with open_cells(out) as cells:
        assert np.array_equal(whole(cells), normalize.log1p_cp10k(RNA))
        assert np.array_equal(whole(cells, "layers/counts"), RNA)


def test_counts_that_cannot_be_known_are_refused(scgx, tmp_path):
    log = write(tmp_path / "log.h5ad", normalize.log1p_cp10k(RNA), GENES)
    said = scgx("normalize", log, "--method", "counts", code=4).err
    assert "holds log1p-cp10k, and no layer or raw holds counts" in said


def test_cpm_is_named_and_may_be_logged(scgx, tmp_path):
    cpm = RNA / RNA.sum(axis=1, keepdims=True) * 1e6
    file = write(tmp_path / "cpm.h5ad", cpm, GENES)
    said = scgx("normalize", file, "--method", "counts", code=4).err
    assert "CPM or TPM (every cell sums to 1,000,000)" in said
    scgx("normalize", file, "-o", tmp_path / "out.h5ad")
    with open_cells(tmp_path / "out.h5ad") as cells:
        np.testing.assert_allclose(whole(cells), normalize.log1p_cp10k(RNA), rtol=1e-6)


def test_scaled_values_without_counts_are_refused(scgx, tmp_path):
    scaled = write(tmp_path / "scaled.h5ad", RNA - 0.7, GENES)
    said = scgx("normalize", scaled, code=4).err
    assert "holds scaled" in said and "--layer" in said


def test_totals_of_the_whole_cell_are_used_where_features_were_dropped(scgx, rna, tmp_path):
    cells = anndata.read_h5ad(rna)
    cells.obs["total_counts_rna"] = RNA.sum(axis=1)
    cells[:, :7].copy().write_h5ad(tmp_path / "some.h5ad")
    said = scgx("normalize", tmp_path / "some.h5ad", "-o", tmp_path / "out.h5ad").err
    assert "per obs['total_counts_rna']" in said
    with open_cells(tmp_path / "out.h5ad") as made:
        assert np.array_equal(whole(made), normalize.log1p_cp10k(RNA)[:, :7])
    cells.obs["total_counts_rna"] = 1.0
    cells.write_h5ad(tmp_path / "odd.h5ad")
    said = scgx("normalize", tmp_path / "odd.h5ad", code=4).err
    assert "is below the sum of the counts" in said


def test_storage_and_memory_change_nothing(scgx, rna, tmp_path):
    wanted = None
    for i, convert in enumerate((sp.csr_matrix, sp.csc_matrix, np.asarray, np.asfortranarray)):
        cells = anndata.read_h5ad(rna)
        cells.X = convert(RNA.astype([np.float32, np.float64, np.int32, np.float32][i]))
        cells.write_h5ad(tmp_path / f"{i}.h5ad")
        scgx("normalize", tmp_path / f"{i}.h5ad", "-o", tmp_path / "out.h5ad", "--memory", "16M")
        with open_cells(tmp_path / "out.h5ad") as made:
            wanted = whole(made) if wanted is None else wanted
            assert np.array_equal(whole(made), wanted)


def test_size_factors_give_what_the_authors_stored(scgx, real_data, tmp_path):
    file = real_data / "multiome-bmmc-neurips/set1.rna.h5ad"
    out = tmp_path / "out.h5ad"
    words = ["--layer", "counts", "--size-factors", "size_factors"]
    scgx("normalize", file, *words, "-o", out)
    with open_cells(file) as before, open_cells(out) as after:
        np.testing.assert_allclose(whole(after), whole(before), rtol=1e-6)
        assert after.scgx["units"]["X"] == {"rna": "unknown"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--method", "log2p"], 2, "did you mean 'log1p'"),
        (["--method", "binary", "--size-factors", "n"], 2, "--size-factors"),
        (["--size-factors", "n"], 4, "no column 'n' in obs"),
        (["--modality", "atac"], 4, "has no atac features"),
        (["--modality", "dna"], 4, "no modality 'dna'"),
        (["--layer", "spliced"], 4, "has no layers/spliced"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(scgx, words, code, says, rna):
    said = scgx("normalize", rna, *words, code=code).err
    assert says in said and len(said.splitlines()) == 1


def test_missing_values_are_refused_with_their_number(scgx, tmp_path):
    values = RNA.copy()
    values[3, 3] = np.nan
    file = write(tmp_path / "nan.h5ad", values, GENES)
    said = scgx("normalize", file, "-o", tmp_path / "out.h5ad", code=4).err
    assert "holds 1 missing or infinite values" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out.h5ad").exists()


def test_antibodies_get_clr_and_presence_is_taken_from_logged_peaks(scgx, tmp_path):
    cells = anndata.AnnData(sp.csr_matrix(np.hstack([RNA, np.log1p(ATAC / 3)])))
    cells.obs_names = [f"c{i}" for i in range(60)]
    cells.var_names = GENES + PEAKS
    cells.var["feature_types"] = ["Antibody Capture"] * 20 + ["Peaks"] * 30
    cells.write_h5ad(tmp_path / "cite.h5ad")
    out = tmp_path / "out.h5ad"
    said = scgx("normalize", tmp_path / "cite.h5ad", code=4).err
    assert "--method binary" in said
    scgx("normalize", tmp_path / "cite.h5ad", "--method", "binary", "-o", out)
    with open_cells(out) as made:
        assert np.array_equal(whole(made)[:, 20:], ATAC > 0)
        assert np.array_equal(whole(made)[:, :20], RNA)
    scgx("normalize", tmp_path / "cite.h5ad", "--modality", "adt", "-o", out)
    with open_cells(out) as made:
        np.testing.assert_array_equal(whole(made)[:, :20], normalize.clr(RNA))
        assert made.scgx["units"]["X"]["adt"] == "clr"


def test_join_split_and_normalize_work_in_a_pipe(rna, tmp_path):
    peaks = write(tmp_path / "atac.h5ad", ATAC, PEAKS)
    line = "set -o pipefail; scgx join $1 $2 | scgx split | scgx normalize > out.h5ad"
    done = shell(line, [rna, peaks], cwd=tmp_path)
    assert done.code == 0, done.err
    with open_cells(tmp_path / "out.h5ad") as cells:
        train = cells.obs.strings("split") == "train"
        assert train.sum() == 42
        weights = normalize.idf(normalize.document_frequency(ATAC[train]), 42)
        assert np.array_equal(whole(cells)[:, 20:], normalize.tfidf(ATAC, weights))
        assert len(cells.scgx["history"]) == 3
