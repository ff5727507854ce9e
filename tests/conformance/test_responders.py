"""Every model of responses, the same checks: bytes, files, memory, names, refusals, signal."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx import registry
from scgx.errors import DataError, InputError, UsageError
from scgx.h5ad.frame import categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.units import units_of
from scgx.learn import artifact
from scgx.learn.model import Responds, Shifts
from scgx.learn.train import restore

NAMES = [n for n in registry.names("models") if getattr(registry.load("models", n), "RESPONDS", ())]


def _needs_torch(name: str) -> bool:
    return importlib.util.find_spec(f"scgx.models._{name.replace('-', '_')}_net") is not None


every = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.torch) if _needs_torch(n) else n for n in NAMES]
)
SMALL = {"dim": 8, "heads": 2, "latents": 4, "cells": 2}


def train(name: str, cells: Path, output: Path, **options: object) -> Path:
    """A model of the perturbations of a file; a small network and two epochs where it has them."""
    knobs = registry.load("models", name).Config.__dataclass_fields__
    brief = {"epochs": 2} if "epochs" in knobs else {}
    options = {"label": "perturbation", **brief, **options}
    if "latents" in knobs:
        options.setdefault("set_", [f"{key}={value}" for key, value in SMALL.items()])
    scgx.train(name, str(cells), str(output), quiet=True, **options)
    return output


def predict(model: Path, cells: Path, output: Path, **options: object) -> Table:
    """What a model answers."""
    scgx.predict(str(model), str(cells), str(output), quiet=True, **options)
    return read(output)


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated screen, doubles held out; one double is known to be in the test."""
    folder = tmp_path_factory.mktemp("screen")
    scgx.simulate(
        str(folder / "all.h5ad"), cells=900, genes=30, perturbations=8, doubles=8, quiet=True
    )
    scgx.split(
        str(folder / "all.h5ad"), str(folder / "screen.h5ad"), by="perturbation",
        unseen="combinations", fractions="0.8,0,0.2", quiet=True,
    )  # fmt: skip
    return folder / "screen.h5ad"


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, screen: Path) -> object:
    """`fitted(name)`: the path of a model fitted briefly on the screen, once."""
    folder = tmp_path_factory.mktemp("responders")

    def fit(name: str) -> Path:
        path = folder / f"{name}.scgx"
        return path if path.exists() else train(name, screen, path)

    return fit


@every
def test_same_seed_same_model_whatever_the_memory(name, fitted, screen: Path, tmp_path: Path):
    first = artifact.read(fitted(name))
    for memory in (None, "16M"):
        again = artifact.read(train(name, screen, tmp_path / "again.scgx", memory=memory))
        assert again.members == first.members


@every
def test_saved_and_restored_it_is_the_same(name, fitted) -> None:
    found = artifact.read(fitted(name))
    model = restore(found)
    assert isinstance(model, Responds | Shifts)
    assert dict(model.save()) == found.members


@every
def test_it_answers_the_test_from_its_own_controls(name, fitted, screen: Path, tmp_path: Path):
    made = predict(fitted(name), screen, tmp_path / "made.h5ad")
    cells = read(screen)
    words, parts = cells.obs.strings("perturbation"), cells.obs.strings("split")
    labels = made.obs.strings("perturbation")
    assert set(labels) == set(words[parts == "test"]) - {"control"}
    source = made.obs.strings("scgx_control")
    assert set(source) <= set(cells.obs.index[(words == "control") & (parts == "test")])
    assert made.obs.index.tolist() == [f"{c}:{x}" for c, x in zip(source, labels)]
    assert np.isfinite(made.X).all() and made.X.shape[1] == len(cells.var)
    with open_cells(tmp_path / "made.h5ad") as found:
        assert units_of(found, "X", "rna") == "log1p-cp10k"
        assert found.scgx["task"] == "perturbation"
        assert json.loads(found.scgx["model"])["name"] == name
        header = artifact.read(fitted(name)).header
        assert len(found.scgx["train_cells"]) == header.trained_on["train"]
        assert header.response is not None and header.response.column == "perturbation"


@every
def test_cells_and_genes_in_another_order_change_no_answer(
    name, fitted, screen: Path, tmp_path: Path
) -> None:
    made = predict(fitted(name), screen, tmp_path / "made.h5ad")
    cells = read(screen)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(cells.obs)), rng.permutation(len(cells.var))
    mixed = Table(cells.X[np.ix_(rows, columns)], cells.obs.take(rows), cells.var.take(columns))
    rewrite(screen, tmp_path / "mixed.h5ad", lambda _cells: mixed)
    again = predict(fitted(name), tmp_path / "mixed.h5ad", tmp_path / "again.h5ad")
    place = {cell: i for i, cell in enumerate(again.obs.index)}
    order = [place[cell] for cell in made.obs.index]
    np.testing.assert_allclose(again.X[order], made.X, atol=2e-6)


@every
def test_what_is_asked_by_name_is_answered_alone_as_among_others(
    name, fitted, screen: Path, tmp_path: Path
) -> None:
    words = sorted(
        {w for w in read(screen).obs.strings("perturbation") if "+" not in w} - {"control"}
    )
    alone = predict(fitted(name), screen, tmp_path / "a.h5ad", perturb=[words[0]], rows="all")
    both = predict(
        fitted(name), screen, tmp_path / "b.h5ad", perturb=words[:2], rows="all", controls=50
    )
    chosen = both.obs.strings("perturbation") == words[0]
    place = {cell: i for i, cell in enumerate(alone.obs.index)}
    order = [place[cell] for cell in both.obs.index[chosen]]
    np.testing.assert_array_equal(both.X[chosen], alone.X[order])


@every
def test_a_table_names_what_is_asked(name, fitted, screen: Path, tmp_path: Path) -> None:
    words = sorted(
        {w for w in read(screen).obs.strings("perturbation") if "+" not in w} - {"control"}
    )
    (tmp_path / "t.tsv").write_text(
        f"cell\tperturbation\na\t{words[0]}\nb\t{words[0]}\nc\t{words[1]}\n"
    )
    made = predict(fitted(name), screen, tmp_path / "a.h5ad", like=tmp_path / "t.tsv")
    assert set(made.obs.strings("perturbation")) == set(words[:2])
    var = read(screen).var
    names = dict(zip(var.strings("gene_name"), var.index))
    by_id = predict(fitted(name), screen, tmp_path / "c.h5ad", perturb=[names[words[0]]])
    assert set(by_id.obs.strings("perturbation")) == {words[0]}
    with pytest.raises(UsageError, match="same thing"):
        predict(fitted(name), screen, tmp_path / "b.h5ad", like=tmp_path / "t.tsv", perturb=["A"])
    (tmp_path / "b.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text"):
        predict(fitted(name), screen, tmp_path / "b.h5ad", like=tmp_path / "b.tsv")
    (tmp_path / "t.tsv").write_text("perturbation\n")
    with pytest.raises(DataError, match="names no perturbation"):
        predict(fitted(name), screen, tmp_path / "b.h5ad", like=tmp_path / "t.tsv")


@every
def test_nothing_is_answered_with_zeros(name, fitted, screen: Path, tmp_path: Path) -> None:
    """A target that nothing is known of is refused, in words; or it is no model of targets at all."""
    try:
        made = predict(fitted(name), screen, tmp_path / "a.h5ad", perturb=["MOON"])
    except DataError as error:
        assert "none of 1 perturbations" in str(error)
        return
    assert name in ("no-change", "perturbed-mean", "matching-mean")
    assert (made.obs.strings("perturbation") == "MOON").all()


@every
def test_a_file_without_perturbations_is_all_controls(
    name, fitted, screen: Path, tmp_path: Path
) -> None:
    cells = read(screen)
    controls = np.flatnonzero(cells.obs.strings("perturbation") == "control")[:40]
    rest = cells.obs.take(controls).without(["perturbation", "split"])
    some = Table(cells.X[controls], rest, cells.var)
    rewrite(screen, tmp_path / "c.h5ad", lambda _cells: some)
    one = sorted({w for w in cells.obs.strings("perturbation") if "+" not in w} - {"control"})[0]
    made = predict(fitted(name), tmp_path / "c.h5ad", tmp_path / "m.h5ad", perturb=[one])
    assert len(made.X) == 40
    with pytest.raises(DataError, match="--perturb"):
        predict(fitted(name), tmp_path / "c.h5ad", tmp_path / "m.h5ad")


@pytest.mark.parametrize("name", ["additive", "one-hot-ridge", "matching-mean"])
def test_effects_that_add_up_are_found(name: str, tmp_path: Path) -> None:
    """On a linear network without drawing counts: unseen pairs are sums of what is seen."""
    sim = tmp_path / "sim.h5ad"
    scgx.simulate(
        str(sim), cells=4000, genes=40, perturbations=10, doubles=10, units="log1p-cp10k",
        noise=0.1, dropout=0.0, cell_types=1, batches=1, donors=1, quiet=True,
    )  # fmt: skip
    scgx.split(
        str(sim), str(tmp_path / "s.h5ad"), by="perturbation", unseen="combinations", quiet=True
    )
    model = train(name, tmp_path / "s.h5ad", tmp_path / "m.scgx")
    made = predict(model, tmp_path / "s.h5ad", tmp_path / "p.h5ad")
    cells = read(tmp_path / "s.h5ad")
    words, parts = cells.obs.strings("perturbation"), cells.obs.strings("split")
    control = cells.X[(words == "control") & (parts == "test")].mean(axis=0)
    place = {cell: i for i, cell in enumerate(cells.obs.index)}
    source = cells.X[[place[c] for c in made.obs.strings("scgx_control")]]
    labels = made.obs.strings("perturbation")
    found = [
        np.corrcoef(
            cells.X[words == label].mean(axis=0) - control,
            (made.X - source)[labels == label].mean(axis=0),
        )[0, 1]
        for label in np.unique(labels.astype(str))
    ]
    assert np.mean(found) > 0.9


def test_controls_of_another_name_and_strata_are_taken_as_told(
    screen: Path, tmp_path: Path
) -> None:
    cells = read(screen)
    words = cells.obs.strings("perturbation")
    renamed = categorical(["buffer" if word == "control" else word for word in words])
    obs = cells.obs.without(["perturbation"]).with_column("agent", renamed)
    rewrite(screen, tmp_path / "s.h5ad", lambda found: Table(found.X, obs, found.var))
    with pytest.raises(DataError, match="--control"):
        train("additive", tmp_path / "s.h5ad", tmp_path / "m.scgx", label="agent")
    told = {"label": "agent", "control": "buffer", "covariate": ["batch"]}
    train("additive", tmp_path / "s.h5ad", tmp_path / "m.scgx", **told)
    response = artifact.read(tmp_path / "m.scgx").header.response
    assert response is not None and response.covariates == ["batch"]
    assert (
        response.controls == ((words == "control") & (cells.obs.strings("split") == "train")).sum()
    )
    assert len(response.strata) == 2
    with pytest.raises(UsageError, match="--control is of no use"):
        train("logistic", tmp_path / "s.h5ad", tmp_path / "n.scgx", control="buffer")


@pytest.mark.parametrize("places", ["conditions", "cells"])
def test_linear_answers_targets_that_were_never_perturbed(
    places: str, screen: Path, tmp_path: Path
) -> None:
    model = train("linear", screen, tmp_path / "m.scgx", set_=[f"places={places}", "rank=4"])
    seen = artifact.read(model).header.response
    assert seen is not None
    gene = next(g for g in read(screen).var.strings("gene_name") if g not in seen.counts)
    made = predict(model, screen, tmp_path / "p.h5ad", perturb=[gene])
    moved = made.X - predict(model, screen, tmp_path / "q.h5ad", perturb=[*seen.counts][:1]).X
    assert np.abs(moved).max() > 1e-3
