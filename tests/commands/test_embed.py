"""`scgx embed` and `scgx plot`: places for cells, kept with the file, and pictures of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse
from support.processes import fresh

import scgx
from scgx.errors import DataError, InputError, MachineError, UsageError
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create
from scgx.learn import colours, spaces
from scgx.learn.clusters import found, parse
from scgx.learn.embedding import Wish


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embed")
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    scgx.fetch("demo", output=str(whole), cells=400, genes=40, peaks=80, quiet=True)
    scgx.split(str(whole), str(parted), by="donor", quiet=True)
    return parted


@pytest.fixture(scope="module")
def placed(cells: Path) -> Path:
    """The same cells with X_pca and X_lsi, and clusters of X_pca."""
    one, both = cells.with_name("one.h5ad"), cells.with_name("both.h5ad")
    scgx.embed("pca", str(cells), str(one), set_=["rank=6"], cluster="kmeans:4", quiet=True)
    scgx.embed("lsi", str(one), str(both), set_=["rank=5"], quiet=True)
    return both


def place(path: Path, key: str) -> np.ndarray:
    with open_cells(path) as opened:
        return spaces.read(opened, key)


def test_obsm_gains_places_and_all_else_is_as_it_was(cells: Path, placed: Path) -> None:
    with open_cells(cells) as before, open_cells(placed) as after:
        assert after.keys("obsm") == ["X_lsi", "X_pca"]
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(before.h5["X"][name][()], after.h5["X"][name][()])
        assert before.obs.columns.keys() <= after.obs.columns.keys()
        assert after.h5["varm/PCs"].shape == (after.n_var, 6)
        assert after.h5["uns/pca/variance_ratio"].shape == (6,)
        told = after.scgx["embeddings"]["X_pca"]
        assert json.loads(told["model"])["name"] == "pca"
        assert len(told["train_cells"]) == (after.obs.strings("split") == "train").sum()
        assert "task" not in after.scgx
    assert place(placed, "X_pca").dtype == np.float32


def test_by_name_and_by_model_and_any_memory_are_the_same(
    cells: Path, placed: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "m.scgx", tmp_path / "o.h5ad"
    scgx.train("pca", str(cells), str(model), set_=["rank=6"], quiet=True)
    for memory in (None, "16M"):
        scgx.embed(str(model), str(cells), str(out), memory=memory, quiet=True)
        np.testing.assert_array_equal(place(out, "X_pca"), place(placed, "X_pca"))


def test_loadings_bring_components_back_to_genes(placed: Path) -> None:
    with open_cells(placed) as opened:
        axes = opened.h5["varm/PCs"][()]
        genes = opened.var.strings("feature_types") == "Gene Expression"
        raw = opened.rows("X", np.arange(opened.n_obs))
        x = (raw if isinstance(raw, np.ndarray) else raw.toarray())[:, genes].astype(float)
        train = opened.obs.strings("split") == "train"
    x = np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))
    there = (x - x[train].mean(axis=0)) @ axes[genes]
    np.testing.assert_allclose(there, place(placed, "X_pca"), atol=2e-3)
    assert not axes[~genes].any()


def test_a_cell_has_its_place_alone_and_in_any_order_of_genes(cells: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.scgx"
    scgx.train("lsi", str(cells), str(model), set_=["rank=6"], quiet=True)
    few, out, all_ = tmp_path / "few.h5ad", tmp_path / "out.h5ad", tmp_path / "all.h5ad"
    order = np.random.default_rng(0).permutation(120)
    with open_cells(cells) as opened, create(few) as writer:
        rows = opened.rows("X", np.arange(9))[:, order]
        writer.frame("obs", opened.obs.take(np.arange(9)))
        writer.frame("var", opened.var.take(order))
        with writer.matrix("X", opened.n_var, np.float32) as append:
            append(sparse.csr_array(rows))
        writer.copy(opened, "uns")
    scgx.embed(str(model), str(few), str(out), quiet=True)
    scgx.embed(str(model), str(cells), str(all_), quiet=True)
    np.testing.assert_array_equal(place(out, "X_lsi"), place(all_, "X_lsi")[:9])


def test_embeddings_beside_each_other_weigh_the_same(placed: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5ad"
    basis = ["X_pca", "X_lsi"]
    scgx.embed("concat", str(placed), str(out), basis=basis, quiet=True)
    with open_cells(out) as opened:
        train = opened.obs.strings("split") == "train"
        donors = opened.obs.strings("donor")
        assert set(opened.scgx["embeddings"]) == {"X_pca", "X_lsi", "X_concat"}
    both = place(out, "X_concat")
    for part in (both[:, :6], both[:, 6:]):
        np.testing.assert_allclose(part[train].var(axis=0).sum(), 1, rtol=1e-4)
        np.testing.assert_allclose(part[train].mean(axis=0), 0, atol=1e-5)
    scgx.embed("concat", str(placed), str(out), basis=["pca", "lsi=0.5"], quiet=True)
    np.testing.assert_allclose(
        place(out, "X_concat"), both * np.repeat([1, 0.5], [6, 5]), rtol=1e-5
    )
    scgx.embed("concat", str(placed), str(out), basis=basis, batch="donor", name="X_b", quiet=True)
    np.testing.assert_allclose(place(out, "X_b")[donors == donors[0]].mean(axis=0), 0, atol=1e-5)


def test_clusters_are_named_by_size_and_classify_takes_them(
    cells: Path, placed: Path, tmp_path: Path
) -> None:
    with open_cells(placed) as opened:
        words = opened.obs.strings("scgx_cluster")
    counts = [int((words == str(i)).sum()) for i in range(4)]
    assert counts == sorted(counts, reverse=True) and sum(counts) == len(words)
    model = tmp_path / "types.scgx"
    scgx.train("logistic", str(cells), str(model), label="cell_type", quiet=True)
    scgx.classify(
        str(model), str(placed), str(tmp_path / "o.h5ad"), majority_vote="scgx_cluster", quiet=True
    )


def test_density_leaves_stray_cells_out() -> None:
    rng = np.random.default_rng(0)
    points = np.vstack([rng.normal(0, 0.1, (60, 3)), rng.normal(9, 0.1, (40, 3)), [[90, 0, 0.0]]])
    words = found(points, parse("hdbscan"), seed=0)
    assert (words[:60] == "0").all() and (words[60:100] == "1").all() and words[100] is None
    for word in ("kmeans", "kmeans:1", "kmeans:x", "hdbscan:1", "leiden"):
        with pytest.raises(UsageError):
            parse(word)
    with pytest.raises(UsageError, match="too few"):
        found(points[:3], parse("kmeans:3"), seed=0)


def test_no_cluster_at_all_is_refused() -> None:
    points = np.random.default_rng(0).normal(size=(200, 40))
    with pytest.raises(DataError, match="no cluster of 10 cells in 40 dimensions"):
        found(points, parse("hdbscan"), seed=0)


def test_hdbscan_of_a_layout_is_of_the_plane_and_k_means_of_what_is_beneath() -> None:
    beneath = np.zeros((3, 9))
    assert Wish(("hdbscan", 10), beneath).made
    assert not Wish(("kmeans", 3), beneath).made
    assert Wish(("kmeans", 3), None).made
    assert not Wish(None, None).made


class _Layout:
    """What umap-learn does, without its minutes: the first two columns."""

    def __init__(self, **knobs: object) -> None:
        assert knobs["random_state"] == 0

    def fit_transform(self, x: np.ndarray) -> np.ndarray:
        return x[:, :2]

    def transform(self, x: np.ndarray) -> np.ndarray:
        return x[:, :2] + 100


def test_umap_is_laid_out_on_training_rows(
    placed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MachineError, match="umap-learn"):
        scgx.embed("umap", str(placed), str(tmp_path / "o.h5ad"), quiet=True)
    module = ModuleType("umap")
    module.UMAP = _Layout  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    scgx.embed("umap", str(placed), str(tmp_path / "o.h5ad"), basis=["X_lsi"], quiet=True)
    with open_cells(placed) as opened:
        train = opened.obs.strings("split") == "train"
    expected = place(placed, "X_lsi")[:, :2] + np.where(train, 0, 100)[:, None]
    np.testing.assert_allclose(place(tmp_path / "o.h5ad", "X_umap"), expected, rtol=1e-5)


def test_what_cannot_be_is_refused_before_the_work(placed: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "o.h5ad")
    for what, options, kind in (
        ("umap", {"basis": ["X_nothing"]}, DataError),
        ("concat", {"basis": ["X_pca"], "batch": "nothing"}, DataError),
        ("pca", {"basis": ["X_pca"]}, UsageError),
        ("concat", {"basis": ["X_pca=0"]}, UsageError),
        ("umap", {"set_": ["rank=3"]}, UsageError),
        ("pca", {"max_per_class": 5}, UsageError),
        ("pca", {"color": ["donor"]}, UsageError),
        ("pca", {"color": ["nothing"], "plot": tmp_path / "p.png"}, DataError),
        ("pca", {"modality": "atac"}, DataError),
        ("pca", {"cluster": "leiden"}, UsageError),
        ("pca", {"name": "a/b"}, UsageError),
        ("pca", {"name": " "}, UsageError),
        ("pac", {}, InputError),
    ):
        with pytest.raises(kind):
            scgx.embed(what, str(placed), out, quiet=True, **options)
    assert not list(tmp_path.iterdir())


def test_a_model_that_embeds_nothing_says_so(cells: Path, tmp_path: Path) -> None:
    model = tmp_path / "mean.scgx"
    scgx.train("mean", str(cells), str(model), source="atac", target="rna", quiet=True)
    with pytest.raises(DataError, match="embeds nothing"):
        scgx.embed(str(model), str(cells), str(tmp_path / "o.h5ad"), quiet=True)


def test_panels_are_columns_genes_by_id_and_symbol(placed: Path) -> None:
    with open_cells(placed) as opened:
        gene, peak = opened.var_names[3], opened.var_names[60]
        words, more, one, other = colours.panels(opened, ["cell_type", "donor", gene, peak])
        raw = opened.rows("X", np.arange(opened.n_obs))
        x = (raw if isinstance(raw, np.ndarray) else raw.toarray())[:, :40].astype(float)
    assert words.words is not None and more.words is not None
    np.testing.assert_allclose(one.values, np.log1p(1e4 * x[:, 3] / x.sum(axis=1)), rtol=1e-4)
    assert set(np.unique(other.values)) <= {0.0, 1.0}


def test_plot_draws_cells_and_models_to_a_file_or_stdout(
    cells: Path, placed: Path, tmp_path: Path
) -> None:
    for name in ("a.svg", "b.svg"):
        scgx.plot(
            str(placed), str(tmp_path / name), basis="lsi", color=["cell_type", "donor"], quiet=True
        )
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    done = fresh("plot", placed, "-q")
    assert done.code == 0 and done.out.startswith(b"\x89PNG")
    model = tmp_path / "m.scgx"
    scgx.train("pca", str(cells), str(model), set_=["rank=3"], quiet=True)
    scgx.plot(str(model), str(tmp_path / "m.svg"), quiet=True)
    with pytest.raises(UsageError, match="--color is of cells"):
        scgx.plot(str(model), str(tmp_path / "m.svg"), color=["donor"], quiet=True)
    with pytest.raises(DataError, match="no embedding"):
        scgx.plot(str(cells), str(tmp_path / "c.svg"), quiet=True)
    scgx.train("mean", str(cells), str(model), source="atac", target="rna", quiet=True)
    with pytest.raises(DataError, match="not trained in epochs"):
        scgx.plot(str(model), str(tmp_path / "n.svg"), quiet=True)
