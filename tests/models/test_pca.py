"""Components of genes and peaks: the same as scikit-learn's, whatever the way to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from support.tables import Table, read, rewrite

import scgx
from scgx import registry
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact
from scgx.learn.block import CellBlock
from scgx.learn.fit_embedding import EmbeddingRoles, fit
from scgx.models import pca
from scgx.progress import Report


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn cells of both modalities, with a split by cell."""
    folder = tmp_path_factory.mktemp("pca")
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    scgx.fetch("demo", output=str(whole), cells=400, genes=60, peaks=120, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    return parted


def fitted(path: Path, name: str = "pca", roles: EmbeddingRoles | None = None, **knobs: object):
    """A model fitted to the training rows of a file, and what its artifact says."""
    config = registry.load("models", name).Config(**knobs)
    with open_cells(path) as found:
        return fit(name, found, roles or EmbeddingRoles(), config, seed=0, report=Report())


def logs(path: Path, *, part: str | None = "train") -> np.ndarray:
    """log1p of counts per 10,000 of the genes, of the rows of a part."""
    table = read(path)
    x = table.X[:, table.var.strings("feature_types") == "Gene Expression"].astype(float)
    x = np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))
    return x if part is None else x[table.obs.strings("split") == part]


def block(x: np.ndarray, present: np.ndarray | None = None) -> CellBlock:
    """Cells as a model sees them."""
    every = np.ones(x.shape[1], bool) if present is None else present
    return CellBlock(sparse.csr_array(x.astype(np.float32)), None, x.sum(axis=1), every)  # type: ignore[arg-type]


def alike(a: np.ndarray, b: np.ndarray, tolerance: float = 2e-4) -> None:
    """Equal up to the sign of each column."""
    sign = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a * sign, b, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("scale", ["none", "z", "unit"])
def test_components_are_those_of_scikit_learn(cells: Path, scale: str) -> None:
    model = fitted(cells, rank=6, scale=scale).model
    train, every = logs(cells), logs(cells, part=None)
    change = {
        "none": lambda x: x,
        "z": lambda x: x / train.std(axis=0, ddof=1),
        "unit": lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
    }[scale]
    peer = PCA(6, svd_solver="full").fit(change(train))
    alike(model.embed(block(every)), peer.transform(change(every)))
    np.testing.assert_allclose(model.explained[0], peer.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(model.explained[1], peer.explained_variance_ratio_, rtol=1e-4)


def test_many_features_by_power_iteration_come_to_the_same(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = fitted(cells, rank=3, scale="z").model
    monkeypatch.setattr(pca, "EXACT", 10)
    there = fitted(cells, rank=3, scale="z").model
    np.testing.assert_allclose(there.explained[0], exact.explained[0], rtol=1e-4)
    alike(there.embed(block(logs(cells))), exact.embed(block(logs(cells))))


@pytest.mark.torch
def test_covariances_of_torch_are_those_of_numpy(cells: Path) -> None:
    from scgx.models._pca_torch import second_moment

    rows = logs(cells)
    second, total = second_moment([rows[:100], rows[100:]], rows.shape[1], "cpu")
    np.testing.assert_allclose(second, rows.T @ rows, rtol=1e-10)
    np.testing.assert_allclose(total, rows.sum(axis=0), rtol=1e-10)


@pytest.mark.torch
def test_a_device_that_is_not_there_is_refused(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match="no usable cuda"):
        fitted(cells, rank=3, device="cuda")


def test_the_most_variable_features_are_taken_and_components_map_back(cells: Path) -> None:
    model = fitted(cells, rank=12, features=12).model
    rows = logs(cells)
    chosen, axes = model.loadings()
    assert set(chosen) == set(np.argsort(-rows.var(axis=0))[:12])
    assert axes.shape == (12, 12)
    back = model.features(model.embed(block(rows)))
    np.testing.assert_allclose(back, rows[:, chosen], atol=1e-3)


def test_cosines_are_components_of_length_one(cells: Path) -> None:
    plain, turned = (fitted(cells, rank=4, cosine=word).model for word in (False, True))
    made = plain.embed(block(logs(cells)))
    unit = made / np.linalg.norm(made, axis=1, keepdims=True)
    np.testing.assert_allclose(turned.embed(block(logs(cells))), unit, atol=1e-6)


def test_an_absent_feature_counts_as_average(cells: Path) -> None:
    model = fitted(cells, rank=4).model
    rows = logs(cells)
    present = np.arange(rows.shape[1]) != model.loadings()[0][3]
    filled = np.where(present, rows, rows.mean(axis=0))
    there = model.embed(block(rows * present, present))
    np.testing.assert_allclose(there, model.embed(block(filled)), atol=1e-3)


@pytest.mark.parametrize("name", ["pca", "lsi"])
def test_blocks_and_memory_change_no_byte_and_restoring_none(name: str, cells: Path) -> None:
    first = fitted(cells, name, rank=4)
    config = registry.load("models", name).Config(rank=4)
    with open_cells(cells, memory=1 << 20) as found:
        tight = fit(name, found, EmbeddingRoles(), config, seed=0, report=Report())
    assert dict(tight.model.save()) == dict(first.model.save())
    again = registry.load("models", name).Model.restore(config, first.model.save())
    assert dict(again.save()) == dict(first.model.save())


@pytest.mark.parametrize("name", ["pca", "lsi"])
def test_test_rows_do_not_enter(name: str, cells: Path, tmp_path: Path) -> None:
    def spoil(table: Table) -> Table:
        X = table.X.copy()
        X[table.obs.strings("split") != "train"] = 7
        return Table(X, table.obs, table.var)

    other = rewrite(cells, tmp_path / "spoilt.h5ad", spoil)
    assert dict(fitted(other, name, rank=4).model.save()) == dict(
        fitted(cells, name, rank=4).model.save()
    )


def test_lsi_is_the_svd_of_weighted_unit_rows(cells: Path) -> None:
    model = fitted(cells, "lsi", rank=4).model
    table = read(cells)
    x = table.X[:, table.var.strings("feature_types") == "Peaks"] > 0
    train = x[table.obs.strings("split") == "train"]
    weight = np.log1p(len(train) / np.maximum(train.sum(axis=0), 1)) * (train.var(axis=0) > 0)
    unit = train * weight
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    left, size, _ = np.linalg.svd(unit, full_matrices=False)
    alike(model.embed(block(train.astype(float))), (left * size)[:, :4], tolerance=0.01)
    rest = fitted(cells, "lsi", rank=3, drop_first=True).model
    np.testing.assert_allclose(rest.explained[0], model.explained[0][1:], rtol=1e-3)


def test_a_balanced_fit_sees_so_many_cells_of_each_class(cells: Path) -> None:
    found = fitted(cells, roles=EmbeddingRoles(label="cell_type", most=20))
    table = read(cells)
    train = table.obs.strings("split") == "train"
    names, counts = np.unique(table.obs.strings("cell_type")[train].astype(str), return_counts=True)
    assert found.header.trained_on == {"train": int(np.minimum(counts, 20).sum())}
    assert len(found.summary["train_cells"]) == found.header.trained_on["train"]


def test_what_an_embedding_cannot_do_is_refused(cells: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "m.scgx")
    for options, kind in (
        ({"source": "atac"}, DataError), ({"target": "rna"}, UsageError),
        ({"balance": True}, UsageError),
        ({"features": "20"}, UsageError), ({"set_": ["rank=0"]}, UsageError),
        ({"label": "moon"}, DataError), ({"log": tmp_path / "log"}, UsageError),
    ):  # fmt: skip
        with pytest.raises(kind):
            scgx.train("pca", str(cells), out, quiet=True, **options)
    with pytest.raises(UsageError, match="max-per-class"):
        scgx.train(
            "ridge", str(cells), out, source="atac", target="rna", max_per_class=5, quiet=True
        )
    assert not list(tmp_path.iterdir())


def test_train_writes_an_artifact_and_draws_the_variance(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "m.scgx", tmp_path / "m.svg"
    scgx.train("pca", str(cells), str(out), set_=["rank=3"], plot=picture, quiet=True)
    found = artifact.read(out)
    assert found.header.task == "embedding" and found.header.outputs.names == ["PC1", "PC2", "PC3"]
    assert found.summary["explained_ratio"].shape == (3,)
    assert picture.read_text().startswith("<?xml")
    capsys.readouterr()
    with pytest.raises(UsageError, match="no picture"):
        scgx.train("pca", str(cells), str(out), plot=tmp_path / "m.gif")
    assert not capsys.readouterr().err  # nothing was fitted
