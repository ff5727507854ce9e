"""`score --task embedding`: which cells, which arrays, which members, beside which baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.processes import fresh
from support.tables import Table, rewrite

import scgx
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedding")
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    scgx.fetch("demo", output=str(whole), cells=400, genes=60, peaks=60, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    return parted


@pytest.fixture(scope="module")
def placed(cells: Path) -> Path:
    out = cells.with_name("placed.h5ad")
    scgx.embed("pca", str(cells), str(out), set_=["rank=8", "scale=unit"], quiet=True)
    return out


def scores(capsys: pytest.CaptureFixture[str], *files: Path, **options: object) -> dict:
    scgx.score(str(files[0]), [str(f) for f in files[1:]], json=True, quiet=True, **options)
    return json.loads(capsys.readouterr().out)


def test_an_embedded_file_is_scored_beside_baselines_and_controls(
    cells: Path, placed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(capsys, cells, placed)
    assert found["task"] == "embedding" and found["headline"] == "overall"
    assert found["kinds"] == {
        "pca": "guess", "pca (baseline)": "baseline", "pca+lsi": "baseline", "random": "control",
        "zeros": "control",
    }  # fmt: skip
    values = {key: told["values"] for key, told in found["metrics"].items()}
    members = ("nmi", "asw_label", "asw_batch", "graph_conn")
    assert set(values) == {"overall", *members, "ari", "knn_purity"}
    mean = np.mean([values[key]["pca"]["value"] for key in members])
    assert values["overall"]["pca"]["value"] == pytest.approx(mean)
    assert values["nmi"]["pca"]["value"] > 0.5 > values["nmi"]["random"]["value"] + 0.2
    assert values["asw_batch"]["zeros"]["value"] == 1
    told = " ".join(found["notes"])
    assert "cc_cons is left out" in told and "ti_cons_batch is left out" in told
    with open_cells(cells) as opened:
        assert found["n_cells"] == (opened.obs.strings("split") == "test").sum()


def test_columns_that_are_there_bring_their_members(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)

    def add(table: Table) -> Table:
        obs = table.obs
        for name in ("S_score", "G2M_score", "pseudotime_order_GEX"):
            obs = obs.with_column(name, rng.normal(size=len(table.X)) + table.X[:, 0])
        return Table(table.X, obs, table.var)

    other = rewrite(cells, tmp_path / "scored.h5ad", add)
    out = tmp_path / "placed.h5ad"
    scgx.embed("pca", str(other), str(out), set_=["rank=8"], quiet=True)
    found = scores(capsys, other, out, batch="batch")
    assert {"cc_cons", "ti_cons_batch"} <= set(found["metrics"])
    assert found["metrics"]["cc_cons"]["values"]["pca"]["value"] > 0.3
    assert found["metrics"]["overall"]["values"]["zeros"]["value"] is None
    one = rewrite(
        cells,
        tmp_path / "one.h5ad",
        lambda table: Table(
            table.X, table.obs.with_column("batch", np.full(len(table.X), "B", object)), table.var
        ),
    )
    alone = scores(capsys, one, out, batch="batch")
    assert "asw_batch" not in alone["metrics"]


def test_rows_in_any_order_score_the_same_and_shuffled_names_do_not(
    cells: Path, placed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scgx.h5ad.writer import create

    def other(name: str, order: np.ndarray, *, renamed: bool) -> Path:
        path = tmp_path / name
        with open_cells(placed) as opened, create(path) as out:
            obs = opened.obs.take(order)
            out.frame("obs", opened.obs if renamed else obs)
            out.frame("var", opened.var)
            out.array("obsm/X_pca", opened.h5["obsm/X_pca"][()][order])
        return path

    order = np.random.default_rng(0).permutation(400)
    first = scores(capsys, cells, placed)["metrics"]["overall"]["values"]["pca"]["value"]
    moved = scores(capsys, cells, other("moved.h5ad", order, renamed=False), task="embedding")
    value = moved["metrics"]["overall"]["values"]["pca"]["value"]
    assert value == pytest.approx(first, abs=1e-9)
    chance = scores(capsys, cells, other("named.h5ad", order, renamed=True), task="embedding")
    assert chance["metrics"]["ari"]["values"]["pca"]["value"] < 0.05


def test_cells_that_it_was_fitted_on_are_refused(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def swap(table: Table) -> Table:
        words = table.obs.strings("split")
        turned = np.where(words == "train", "test", "train").astype(object)
        return Table(table.X, table.obs.with_column("split", turned), table.var)

    other, out = rewrite(cells, tmp_path / "swapped.h5ad", swap), tmp_path / "o.h5ad"
    scgx.embed("pca", str(other), str(out), quiet=True)
    with pytest.raises(DataError, match="trained on"):
        scores(capsys, cells, out)
    both = tmp_path / "both.h5ad"
    scgx.embed("concat", str(out), str(both), basis=["X_pca"], quiet=True)
    with pytest.raises(DataError, match="trained on"):
        scores(capsys, cells, both, basis=["concat"])


def test_what_cannot_be_scored_says_why(cells: Path, placed: Path, tmp_path: Path) -> None:
    for guess, options, kind in (
        (cells, {"task": "embedding"}, DataError),
        (placed, {"basis": ["X_nothing"]}, DataError),
        (placed, {"batch": "nothing"}, DataError),
        (placed, {"label": "nothing"}, DataError),
        (placed, {"units": "counts"}, UsageError),
        (placed, {"plot": tmp_path / "p.png"}, UsageError),
        (placed, {"baseline": ["ridge"]}, UsageError),
    ):
        with pytest.raises(kind):
            scgx.score(str(cells), [str(guess)], quiet=True, **options)
    done = fresh("score", cells, placed, "--task", "labels", "--batch", "batch", "-q")
    assert done.code == 2 and "--batch" in done.line()
