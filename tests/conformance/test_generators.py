"""Every model that generates cells, the same checks: bytes, integers, memory, conditions, signal."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx import registry
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells
from scgx.h5ad.units import units_of
from scgx.learn import artifact
from scgx.learn.config import describe
from scgx.learn.model import Generates, generates
from scgx.learn.train import restore

NAMES = [n for n in registry.names("models") if generates(registry.load("models", n))]


def _needs_torch(name: str) -> bool:
    return importlib.util.find_spec(f"scgx.models._{name}_net") is not None


every = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.torch) if _needs_torch(n) else n for n in NAMES]
)


def train(name: str, cells: Path, output: Path, **options: object) -> Path:
    """A generator of cell types; two epochs where it trains in epochs and nothing else is said."""
    knobs = registry.load("models", name).Config.__dataclass_fields__
    brief = {"epochs": 2} if "epochs" in knobs else {}
    options = {"label": "cell_type", "source": "rna", "min_cells_per_class": 3, **brief, **options}
    scgx.train(name, str(cells), str(output), quiet=True, **options)
    return output


def generate(model: Path, output: Path, **options: object) -> Table:
    """What a generator makes: counts cells x genes, obs and var."""
    scgx.generate(str(model), str(output), quiet=True, **options)
    return read(output)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, small: Path) -> object:
    """`fitted(name)`: the path of a generator fitted briefly on the small cells, once."""
    folder = tmp_path_factory.mktemp("generators")

    def fit(name: str) -> Path:
        path = folder / f"{name}.scgx"
        return path if path.exists() else train(name, small, path)

    return fit


@every
def test_same_seed_same_model_whatever_the_memory(name, fitted, small: Path, tmp_path: Path):
    first = artifact.read(fitted(name))
    for memory in (None, "16M"):
        again = artifact.read(train(name, small, tmp_path / "again.scgx", memory=memory))
        assert again.members == first.members
        assert again.summary.keys() == first.summary.keys()


@every
def test_saved_and_restored_it_is_the_same(name, fitted) -> None:
    found = artifact.read(fitted(name))
    model = restore(found)
    assert isinstance(model, Generates)
    assert dict(model.save()) == found.members


@every
def test_it_makes_whole_numbers_of_the_classes_asked_for(name, fitted, tmp_path: Path) -> None:
    made = generate(fitted(name), tmp_path / "made.h5ad", per_class=40)
    header = artifact.read(fitted(name)).header
    levels = header.conditions[0].levels
    assert made.X.shape == (40 * len(levels), len(header.outputs.names))
    assert (made.X >= 0).all() and (made.X % 1 == 0).all() and made.X.sum() > 0
    assert made.obs.strings("cell_type").tolist() == list(np.repeat(levels, 40))
    assert made.obs.index[:2].tolist() == ["synth-0", "synth-1"]
    assert made.var.index.tolist() == header.outputs.names
    with open_cells(tmp_path / "made.h5ad") as cells:
        assert cells.matrix("X").kind == "csr" and cells.matrix("X").dtype.kind == "i"
        assert units_of(cells, "X", "rna") == "counts"
        assert cells.scgx["task"] == "generation" and cells.scgx["label"] == "cell_type"
        assert json.loads(cells.scgx["model"])["name"] == name
        assert len(cells.scgx["train_cells"]) == header.trained_on["train"]


@every
def test_same_seed_same_cells_whatever_memory_and_threads(name, fitted, tmp_path: Path) -> None:
    made = [
        generate(fitted(name), tmp_path / "made.h5ad", n=1100, **options).X
        for options in ({}, {"memory": "16M", "threads": 1}, {"seed": 1})
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


@every
def test_depth_can_be_said(name, fitted, small: Path, tmp_path: Path) -> None:
    for words, depth in (("fixed:500", 500.0), (str(small), None)):
        made = generate(fitted(name), tmp_path / "made.h5ad", n=4000, library_size=words)
        if depth is None:
            genes = read(small).var.strings("feature_types") == "Gene Expression"
            depth = read(small).X[:, genes].sum(axis=1).mean()
        assert made.X.sum(axis=1).mean() == pytest.approx(depth, rel=0.1)


@every
def test_a_class_that_it_does_not_know_is_refused(name, fitted, tmp_path: Path) -> None:
    for words, kind in (("cell_type=moon", DataError), ("moon=1", DataError), ("moon", UsageError)):
        with pytest.raises(kind, match="moon"):
            generate(fitted(name), tmp_path / "made.h5ad", n=5, condition=[words])
    assert not (tmp_path / "made.h5ad").exists()


@every
def test_two_conditions_and_combinations_that_nobody_saw(name, small: Path, tmp_path: Path) -> None:
    first = str(read(small).obs.strings("cell_type")[0])

    def treat(table: Table) -> Table:
        words = table.obs.strings("cell_type")
        treatment = np.full(len(words), "ctrl", dtype=object)
        for level in set(words) - {first}:
            for part in ("train", "val", "test"):
                rows = np.flatnonzero((words == level) & (table.obs.strings("split") == part))
                treatment[rows[::2]] = "stim"
        return Table(table.X, table.obs.with_column("treatment", treatment), table.var)

    cells = rewrite(small, tmp_path / "treated.h5ad", treat)
    model = train(name, cells, tmp_path / "two.scgx", condition=["treatment"])
    made = generate(model, tmp_path / "made.h5ad", per_class=30)
    assert not made.obs["scgx_unseen"].any()
    assert set(made.obs.strings("treatment")) == {"ctrl", "stim"}
    made = generate(model, tmp_path / "made.h5ad", per_class=10, condition=["treatment=stim"])
    assert set(made.obs.strings("treatment")) == {"stim"}
    unseen = made.obs["scgx_unseen"]
    np.testing.assert_array_equal(unseen, made.obs.strings("cell_type") == first)


@every
def test_cells_like_those_of_a_file(name, fitted, small: Path, tmp_path: Path) -> None:
    made = generate(fitted(name), tmp_path / "made.h5ad", like=str(small))
    known = set(artifact.read(fitted(name)).header.conditions[0].levels)
    words = [word for word in read(small).obs.strings("cell_type") if word in known]
    assert made.obs.strings("cell_type").tolist() == words


TRANSFERS = [n for n in NAMES if hasattr(registry.load("models", n).Model, "transfer")]


def test_a_model_that_cannot_tell_what_would_be_refuses(
    fitted, small: Path, tmp_path: Path
) -> None:
    condition = ["cell_type=excitatory"]
    with pytest.raises(DataError, match="cvae can"):
        generate(fitted("nb"), tmp_path / "m.h5ad", cells=str(small), condition=condition)
    with pytest.raises(UsageError, match="what should be different"):
        generate(fitted("nb"), tmp_path / "m.h5ad", cells=str(small))


@pytest.mark.torch
@pytest.mark.parametrize("name", TRANSFERS)
def test_cells_as_they_would_be_under_another_condition(
    name, telling: Path, tmp_path: Path
) -> None:
    """A treatment that raises ten genes raises them in the cells of a file, and leaves the others."""
    rng = np.random.default_rng(0)

    def treat(table: Table) -> Table:
        treated = rng.random(len(table.X)) < 0.5
        X = table.X.copy()
        X[np.ix_(treated, np.arange(10))] *= 3
        words = np.where(treated, "stim", "ctrl").astype(object)
        return Table(X, table.obs.with_column("treatment", words), table.var)

    cells = rewrite(telling, tmp_path / "treated.h5ad", treat)
    model = train(name, cells, tmp_path / "two.scgx", condition=["treatment"], epochs=30)
    table = read(cells)
    made = generate(model, tmp_path / "m.h5ad", cells=str(cells), condition=["treatment=stim"])
    assert made.obs.strings("scgx_source").tolist() == table.obs.index.tolist()
    assert made.obs.strings("cell_type").tolist() == table.obs.strings("cell_type").tolist()
    assert set(made.obs.strings("treatment")) == {"stim"}
    place = {gene: i for i, gene in enumerate(made.var.index)}
    raised = [place[gene] for gene in table.var.index[:10] if gene in place]
    before = table.obs.strings("treatment") == "ctrl"
    share = made.X[:, raised].sum(axis=1) / made.X.sum(axis=1)
    genes = table.var.strings("feature_types") == "Gene Expression"
    real = table.X[:, :10].sum(axis=1) / table.X[:, genes].sum(axis=1)
    assert share[before].mean() == pytest.approx(real[~before].mean(), abs=0.05)
    assert real[before].mean() < real[~before].mean() - 0.15


@every
def test_other_units_are_refused(name, small: Path, tmp_path: Path) -> None:
    def standardise(table: Table) -> Table:
        scaled = (table.X - table.X.mean(axis=0)) / (table.X.std(axis=0) + 1)
        return Table(scaled.astype(np.float32), table.obs, table.var)

    other = rewrite(small, tmp_path / "scaled.h5ad", standardise)
    import h5py

    with h5py.File(other, "r+") as file:
        del file["uns/scgx/units"]
    with pytest.raises(DataError):
        train(name, other, tmp_path / "model.scgx")
    assert not (tmp_path / "model.scgx").exists()


@every
def test_made_cells_are_told_from_other_classes_as_real_ones_are(
    name, telling: Path, tmp_path: Path
) -> None:
    """The profiles of the classes that it makes are nearest those of the same real classes."""
    options = {} if "epochs" not in registry.load("models", name).Config.__dataclass_fields__ else {
        "epochs": 30}  # fmt: skip
    model = train(name, telling, tmp_path / "model.scgx", **options)
    made = generate(model, tmp_path / "made.h5ad", per_class=200)
    real = read(telling)
    place = {gene: i for i, gene in enumerate(real.var.index)}
    columns = [place[gene] for gene in made.var.index]
    levels = artifact.read(model).header.conditions[0].levels

    def profiles(X: np.ndarray, words: np.ndarray) -> np.ndarray:
        sums = np.stack([X[words == level].sum(axis=0) for level in levels]) + 1
        return np.log(sums / sums.sum(axis=1, keepdims=True))

    a = profiles(np.asarray(made.X, float), made.obs.strings("cell_type"))
    b = profiles(np.asarray(real.X, float)[:, columns], real.obs.strings("cell_type"))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    distance = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(len(levels)))


@every
def test_cells_that_test_change_nothing(name, fitted, small: Path, tmp_path: Path) -> None:
    """Features, scales and weights come from other rows: S2-M7."""

    def scramble(table: Table) -> Table:
        held = table.obs.strings("split") == "test"
        X = table.X.copy()
        X[held] = np.random.default_rng(0).poisson(50, (int(held.sum()), X.shape[1]))
        return Table(X, table.obs, table.var)

    other = rewrite(small, tmp_path / "other.h5ad", scramble)
    again = artifact.read(train(name, other, tmp_path / "again.scgx"))
    first = artifact.read(fitted(name))
    assert again.members == first.members
    assert again.header.outputs.names == first.header.outputs.names


@every
def test_made_cells_vary_as_counts_do(name, fitted, tmp_path: Path) -> None:
    """Means of a decoder would vary less than chance alone: S2-M6."""
    made = generate(fitted(name), tmp_path / "made.h5ad", per_class=300)
    words = made.obs.strings("cell_type")
    for level in set(words):
        X = np.asarray(made.X[words == level], float)
        seen = X.mean(axis=0) > 0.5
        assert (X.var(axis=0)[seen] > 0.6 * X.mean(axis=0)[seen]).all()


@every
def test_every_knob_has_a_default_and_a_word(name) -> None:
    config = registry.load("models", name).Config
    config()
    for knob, _type, _default, word in describe(config):
        assert word, f"{name}: {knob} is not explained"
