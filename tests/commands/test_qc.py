"""`scgx qc` as a process: what it counts, what falls to what, and on which rows bounds are fitted."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgx.h5ad.reader import open_cells

ZHENG = "pbmc-zheng-donorA/pbmcA_counts.h5ad"


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, (400, 30)).astype(np.float32)


@pytest.fixture
def cells(tmp_path: Path, counts: np.ndarray) -> Path:
    """Cells of two types, deep and shallow, split in two; three mitochondrial genes, one rare gene."""
    deep = np.arange(400) % 2 == 0
    counts[deep] *= 3
    counts[:, 29] = np.arange(400) % 100 == 0
    made = anndata.AnnData(sp.csr_matrix(counts))
    made.obs_names = [f"c{i}" for i in range(400)]
    made.var_names = ["MT-1", "mt-2", *(f"g{i}" for i in range(2, 30))]
    made.var["chrom"] = ["chr1", "chr1", "chrM", *["chr2"] * 27]
    made.obs["type"] = np.where(deep, "deep", "flat").astype(object)
    made.obs.loc["c3", "type"] = " "
    made.obs["split"] = ["train" if i % 4 < 2 else "test" for i in range(400)]
    made.obs["doublet"] = ["Doublet" if i % 40 == 0 else "singlet" for i in range(400)]
    made.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def read(path: Path) -> anndata.AnnData:
    return anndata.read_h5ad(path)


def test_metrics_go_by_scanpys_names(scgx, cells, counts, tmp_path):
    scgx("qc", cells, "-o", tmp_path / "out.h5ad")
    made = read(tmp_path / "out.h5ad")
    assert np.array_equal(made.X.toarray(), counts)
    assert np.array_equal(made.obs["total_counts"], counts.sum(1))
    assert np.array_equal(made.obs["n_genes_by_counts"], (counts > 0).sum(1))
    share = 100 * counts[:, :3].sum(1) / counts.sum(1)
    assert np.allclose(made.obs["pct_counts_mt"], share)
    assert np.array_equal(made.var["n_cells_by_counts"], (counts > 0).sum(0))
    assert np.allclose(made.var["mean_counts"], counts.mean(0))
    assert np.allclose(made.var["pct_dropout_by_counts"], 100 * (counts == 0).mean(0))
    assert np.array_equal(made.var["total_counts"], counts.sum(0))


def test_cells_and_features_go_together(scgx, cells, counts, tmp_path):
    out = tmp_path / "out.h5ad"
    scgx("qc", cells, "--min-counts", 30, "--max-counts", "100,q90", "--min-cells", 5, "-o", out)
    made, whole = read(out), read(cells)
    total, train = counts.sum(1), (whole.obs["split"] == "train").to_numpy()
    first = (total >= 30) & (total <= 100)
    kept = first & (total <= np.quantile(total[first & train], 0.9))
    genes = (counts[kept & train] > 0).sum(0) >= 5
    assert made.obs_names.tolist() == whole.obs_names[kept].tolist()
    assert made.var_names.tolist() == whole.var_names[genes].tolist()
    assert np.array_equal(made.X.toarray(), counts[kept][:, genes])
    assert np.array_equal(made.obs["total_counts_rna"], total[kept])
    assert np.array_equal(made.var["n_cells_by_counts"], (counts[kept][:, genes] > 0).sum(0))
    with open_cells(out) as file:
        for what, n in (("bounds", first & train), ("features", train)):
            record = json.loads(file.scgx["fitted"][what]["qc"])
            assert (record["rows"], record["cells"]) == ("train", n.sum())


def test_test_rows_move_no_bound(scgx, cells, tmp_path):
    whole = read(cells)
    test = (whole.obs["split"] == "test").to_numpy()
    whole.X = sp.csr_matrix(np.where(test[:, None], 500, whole.X.toarray()))
    whole.write_h5ad(tmp_path / "other.h5ad")
    words = ["--max-counts", "mad3", "--min-genes", "iqr1", "--max-pct-mt", "q80", "--json"]
    said = [
        json.loads(scgx("qc", tmp_path / name, *words, "-o", tmp_path / f"out.{name}").out)
        for name in ("cells.h5ad", "other.h5ad")
    ]
    assert said[0]["bounds"] == said[1]["bounds"]


def test_bounds_per_label_drop_training_cells_alone(scgx, cells, counts, tmp_path):
    out = tmp_path / "out.h5ad"
    words = ["--max-counts", "iqr0.1", "--per", "type", "--json"]
    facts = json.loads(scgx("qc", cells, *words, "-o", out).out)
    obs, total = read(cells).obs, counts.sum(1)
    train, label = (obs["split"] == "train").to_numpy(), obs["type"].to_numpy()

    def edge(rows: np.ndarray) -> float:
        low, high = np.quantile(total[rows], [0.25, 0.75])
        return float(high + 0.1 * (high - low))

    edges = np.full(400, edge(train))
    for name in ("deep", "flat"):
        edges[train & (label == name)] = edge(train & (label == name))
        said = facts["bounds_per_label"][name]["total_counts"]["max"]
        assert said == pytest.approx(edge(train & (label == name)))
    assert read(out).obs_names.tolist() == obs.index[total <= edges].tolist()
    assert facts["bounds"]["total_counts"]["max"] == pytest.approx(edge(train))


def test_the_table_says_what_fell_to_what(scgx, cells, tmp_path):
    words = ["--drop-doublets", "doublet", "--label", "type", "--drop-unlabelled"]
    words += ["--drop-label", "^fl", "--drop-label", "^nothing", "--table", tmp_path / "t.tsv"]
    words += ["--keep", "split == 'train' or not n in (1, 2)"]
    whole = read(cells)
    whole.obs["n"] = np.arange(400) % 3
    whole.write_h5ad(cells)
    said = scgx("qc", cells, *words, "-o", tmp_path / "out.h5ad").err
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t", index_col="filter")
    assert table["cells"].tolist() == [133, 10, 1, 199, 0, 277, 123]
    assert table.loc["dropped", "train"] + table.loc["kept", "train"] == 200
    assert "matches no type" in said and "dropped" in said
    assert read(tmp_path / "out.h5ad").n_obs == 123


@pytest.mark.parametrize("flags", ["text", "bool", "number", "category"])
def test_doublet_flags_of_any_kind_are_understood(scgx, cells, tmp_path, flags):
    whole = read(cells)
    flag = np.arange(400) % 40 == 0
    whole.obs["odd"] = {
        "text": np.where(flag, "True", "False").astype(object),
        "bool": flag,
        "number": flag.astype(float),
        "category": pd.Categorical(np.where(flag, "DBL", "SNG")),
    }[flags]
    whole.write_h5ad(cells)
    scgx("qc", cells, "--drop-doublets", "odd", "-o", tmp_path / "out.h5ad")
    assert read(tmp_path / "out.h5ad").n_obs == 390


@pytest.mark.parametrize(
    ("column", "factor", "says"),
    [("GEX_pct_counts_mt", 1, "GEX_pct"), ("mito", 0.01, "a fraction of 1 read as percent")],
)
def test_a_column_stands_in_for_genes_that_are_gone(scgx, cells, tmp_path, column, factor, says):
    whole = read(cells)[:, 3:].copy()
    whole.obs[column] = factor * np.arange(400) / 20
    whole.write_h5ad(cells)
    said = scgx("qc", cells, "--max-pct-mt", 5, "-o", tmp_path / "out.h5ad").err
    assert says in said
    assert read(tmp_path / "out.h5ad").obs_names.tolist() == [f"c{i}" for i in range(101)]


def test_peaks_have_their_own(scgx, tmp_path):
    scgx("fetch", "demo", "-q", "-o", tmp_path / "demo.h5ad")
    words = ["--min-peaks", 200, "--max-peak-counts", "q99", "--min-genes", 140]
    scgx("qc", tmp_path / "demo.h5ad", *words, "-o", tmp_path / "out.h5ad")
    whole, made = read(tmp_path / "demo.h5ad"), read(tmp_path / "out.h5ad")
    peaks = (whole.var["feature_types"] == "Peaks").to_numpy()
    X = whole.X.toarray()
    genes, seen = (X[:, ~peaks] > 0).sum(1), (X[:, peaks] > 0).sum(1)
    first = (genes >= 140) & (seen >= 200)
    total = X[:, peaks].sum(1)
    kept = first & (total <= np.quantile(total[first], 0.99))
    assert made.obs_names.tolist() == whole.obs_names[kept].tolist()
    assert np.array_equal(made.obs["n_peaks_by_counts"], seen[kept])
    assert np.array_equal(made.obs["total_counts_peaks"], total[kept])


def test_storage_and_memory_change_nothing(scgx, cells, tmp_path):
    words = ["--max-counts", "mad1", "--min-cells", 5, "--no-history", "-q"]
    scgx("qc", cells, *words, "-o", tmp_path / "first.h5ad")
    first = read(tmp_path / "first.h5ad")
    for convert in (sp.csc_matrix, lambda X: X.toarray()):
        whole = read(cells)
        whole.X = convert(whole.X)
        whole.layers["twice"] = whole.X * 2
        whole.write_h5ad(tmp_path / "other.h5ad")
        scgx("qc", tmp_path / "other.h5ad", *words, "--memory", "16M", "-o", tmp_path / "o.h5ad")
        made = read(tmp_path / "o.h5ad")
        assert made.obs.equals(first.obs) and made.var.equals(first.var)
        assert isinstance(made.X, type(whole.X))
        dense = made.X if isinstance(made.X, np.ndarray) else made.X.toarray()
        assert np.array_equal(dense, first.X.toarray())
        assert (made.layers["twice"] != 2 * made.X).sum() == 0


def test_what_a_dataset_did_not_measure_counts_nothing(scgx, cells, tmp_path):
    whole = read(cells)
    whole.obs["dataset"] = np.where(np.arange(400) < 200, "a", "b")
    whole.varm["measured"] = np.stack([np.ones(30, bool), np.arange(30) < 20], axis=1)
    whole.uns["scgx"] = {"measured": {"key": "dataset", "datasets": np.array(["a", "b"], object)}}
    whole.write_h5ad(cells)
    scgx("qc", cells, "-o", tmp_path / "out.h5ad")
    made, X = read(tmp_path / "out.h5ad"), whole.X.toarray()
    assert made.obs["total_counts"].iloc[300] == X[300, :20].sum()
    assert made.var["n_cells_by_counts"].iloc[25] == (X[:200, 25] > 0).sum()
    assert made.var["pct_dropout_by_counts"].iloc[25] == pytest.approx(
        100 * (X[:200, 25] == 0).mean()
    )


def test_a_real_file_is_cleaned_as_by_hand(scgx, real_data, tmp_path):
    words = ["--min-genes", 500, "--max-pct-mt", 5, "--min-cells", 30, "-q"]
    scgx("qc", real_data / ZHENG, *words, "--plot", tmp_path / "q.png", "-o", tmp_path / "out.h5ad")
    whole, made = read(real_data / ZHENG), read(tmp_path / "out.h5ad")
    seen = np.asarray((whole.X > 0).sum(1)).ravel()
    mt = np.asarray(whole.X[:, whole.var_names.str.startswith("MT-")].sum(1)).ravel()
    kept = whole[(seen >= 500) & (100 * mt <= 5 * np.asarray(whole.X.sum(1)).ravel())]
    kept = kept[:, np.asarray((kept.X > 0).sum(0)).ravel() >= 30]
    assert made.shape == kept.shape == (2685, 7803)
    assert (made.X != kept.X).nnz == 0
    assert (tmp_path / "q.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--min-genes", "many"], 2, "is no bound"),
        (["--drop-unlabelled"], 2, "--label COLUMN"),
        (["--drop-label", "(", "--label", "type"], 2, "--drop-label '('"),
        (["--label", "type"], 2, "nothing to do"),
        (["--per", "type", "--min-genes", "5"], 2, "no bound to fit"),
        (["--keep", "type"], 2, "is no condition"),
        (["--keep", "__import__('os').system('x') == 1"], 2, "is no condition"),
        (["--keep", "tpe == 'deep'"], 4, "did you mean 'type'"),
        (["--keep", "type == 'deap'"], 4, "no cell has type 'deap'"),
        (["--min-genes", 1000], 4, "no cell is left (--min-genes drops "),
        (["--keep", "split == 'test'", "--min-genes", "q1"], 4, "no training cell is left"),
        (["--min-cells", 1000], 4, "no feature is seen in 1,000 training cells"),
        (["--min-peaks", 3], 4, "--min-peaks needs n_peaks_by_counts"),
        (["--drop-doublets", "type"], 4, "no doublet flag"),
        (["--drop-doublets", "dblet"], 4, "did you mean 'doublet'"),
        (["--max-counts", "mad3", "--per", "tpe"], 4, "did you mean 'type'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(scgx, cells, tmp_path, words, code, says):
    said = scgx("qc", cells, *words, "-o", tmp_path / "out.h5ad", code=code).err
    assert says in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out.h5ad").exists()


def test_json_needs_a_place_of_its_own(scgx, cells):
    assert "-o FILE" in scgx("qc", cells, "--json", code=2).err


def test_without_a_split_all_rows_are_fitted_and_that_is_recorded(scgx, cells, tmp_path):
    whole = read(cells)
    del whole.obs["split"]
    whole.write_h5ad(cells)
    said = scgx("qc", cells, "--max-counts", "mad9", "-o", tmp_path / "out.h5ad").err
    assert "400 cells, as there is no split" in said
    with open_cells(tmp_path / "out.h5ad") as made:
        assert json.loads(made.scgx["fitted"]["bounds"]["qc"])["rows"] == "all"


def test_cells_that_are_all_test_rows_are_measured(scgx, cells, tmp_path):
    scgx("qc", cells, "--keep", "split == 'test'", "-q", "-o", tmp_path / "test.h5ad")
    scgx("qc", tmp_path / "test.h5ad", "--min-counts", 20, "-q", "-o", tmp_path / "out.h5ad")
    made = read(tmp_path / "out.h5ad")
    assert 0 < made.n_obs < 200 and (made.obs["total_counts"] >= 20).all()
