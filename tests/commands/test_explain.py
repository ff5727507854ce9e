"""`explain`: the genes of each class, by every model that can say so."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands.conftest import Run

import scgx as api
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    api.fetch("demo", output=str(folder / "whole.h5ad"), modality="rna", cells=400, quiet=True)
    api.split(str(folder / "whole.h5ad"), str(folder / "cells.h5ad"), by="donor", quiet=True)
    return folder / "cells.h5ad"


@pytest.fixture(scope="module")
def model(cells: Path) -> Path:
    path = cells.with_name("logistic.scgx")
    api.train("logistic", str(cells), str(path), label="cell_type", quiet=True)
    return path


def test_coefficients_come_back_heaviest_first_by_symbol(
    scgx: Run, model: Path, tmp_path: Path
) -> None:
    scgx("explain", model, "--top", "4", "--table", "t.tsv", "--plot", "w.png", "--json")
    found = artifact.read(model)
    slope = artifact.unpack_arrays(found.members["coefficients.safetensors"])["slope"]
    centred = slope - slope.mean(axis=1, keepdims=True)
    names = np.array(found.header.inputs.names, dtype=object)[found.summary["chosen"]]
    symbols = dict(zip(found.header.inputs.names, found.header.inputs.gene_name, strict=True))
    lines = [line.split("\t") for line in (tmp_path / "t.tsv").read_text().splitlines()]
    assert lines[0] == ["class", "rank", "gene", "feature", "weight"]
    for code, word in enumerate(found.header.outputs.names):
        best = names[np.argsort(-centred[:, code])[:4]].tolist()
        mine = [line for line in lines if line[0] == word]
        assert [line[3] for line in mine] == best
        assert [line[2] for line in mine] == [symbols[name] for name in best]
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_is_json_and_comes_through_a_pipe(scgx: Run, model: Path) -> None:
    told = json.loads(scgx("explain", "--json", "--top", "2", stdin=model).out)
    assert told["model"] == "logistic" and "coefficient" in told["kind"]
    assert all(len(each["symbols"]) == 2 for each in told["classes"])


def test_on_cells_coefficients_become_what_a_gene_adds(scgx: Run, model: Path, cells: Path) -> None:
    words = ("explain", model, "--cells", cells, "--json", "--top", "300")
    told = json.loads(scgx(*words).out)
    assert told["kind"].startswith("mean SHAP")
    alone = json.loads(scgx("explain", model, "--json", "--top", "300").out)
    assert told["classes"][0]["features"] != alone["classes"][0]["features"]
    assert told["classes"][0]["weights"] == sorted(told["classes"][0]["weights"], reverse=True)


@pytest.mark.torch
def test_shap_values_of_a_cell_sum_to_its_score(cells: Path, tmp_path: Path, scgx: Run) -> None:
    from scgx.learn.classify import opened
    from scgx.learn.explain import _blocks
    from scgx.learn.train import restore
    from scgx.models import xgboost

    path = tmp_path / "trees.scgx"
    words = ("train", "xgboost", cells, "--label", "cell_type", "--set", "trees=8")
    scgx(*words, "-o", path)
    found = artifact.read(path)
    with open_cells(cells) as there:
        block = next(_blocks(opened(found, there, 0.05)))
    made = restore(found)
    assert isinstance(made, xgboost.Model)
    parts = [values for _, values in xgboost._contributions(made.booster, block.x)]
    sums = np.concatenate(parts).sum(axis=2)
    np.testing.assert_allclose(sums, made.scores(block), rtol=1e-3, atol=1e-4)
    gain = made.explain(iter(())).weights
    total = made.booster.get_score(importance_type="total_gain")
    for i in range(gain.shape[0]):
        assert gain[i].sum() == pytest.approx(total.get(f"f{i}", 0), rel=1e-3)
    done = scgx("explain", path, "--cells", cells, "--top", "1")
    assert "mean SHAP value" in done.out.decode()


@pytest.mark.torch
def test_slopes_are_those_of_small_steps(cells: Path, tmp_path: Path, scgx: Run) -> None:
    import torch

    from scgx.learn.train import restore

    path = tmp_path / "net.scgx"
    scgx("train", "mlp", cells, "--label", "cell_type", "--epochs", "2", "-o", path)
    made = restore(artifact.read(path))
    weights = made.explain(iter(())).weights  # type: ignore[attr-defined]
    network = made.network.double()  # type: ignore[attr-defined]
    centre = torch.zeros((1, len(weights)), dtype=torch.float64)
    for gene in (0, 7):
        step = centre.clone()
        step[0, gene] = 1e-5
        rise = (network(step) - network(centre)).detach().numpy()[0] / 1e-5
        np.testing.assert_allclose(weights[gene], rise - rise.mean(), rtol=1e-3, atol=1e-5)
    done = scgx("explain", path, "--cells", cells, "--top", "1")
    assert "over the cells called the class" in done.out.decode()


def test_a_model_that_cannot_say_is_refused(scgx: Run, cells: Path, tmp_path: Path) -> None:
    scgx("train", "majority", cells, "--label", "cell_type", "-o", tmp_path / "m.scgx")
    done = scgx("explain", tmp_path / "m.scgx", "--table", tmp_path / "t.tsv", code=4)
    assert "cannot say what it looks at" in done.line() and not (tmp_path / "t.tsv").exists()
    assert "no model" in scgx("explain", cells, code=3).line()
    assert "both be stdin" in scgx("explain", "-", "--cells", "-", code=2).line()
