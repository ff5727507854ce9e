"""Every model that learns labels, the same checks: bytes, files, memory, names, units, signal."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy import sparse
from support.tables import Table, read, rewrite

import scgx
from scgx import registry
from scgx.errors import DataError
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact
from scgx.learn.model import Classifies, learns_labels, parts_for
from scgx.learn.train import restore

NAMES = [n for n in registry.names("models") if learns_labels(registry.load("models", n))]
BLIND = {"majority"}  # it looks at no feature, by design


def _needs_torch(name: str) -> bool:
    net = importlib.util.find_spec(f"scgx.models._{name}_net")
    return net is not None or name in ("ensemble", "tabnet", "xgboost")


def _parameters(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=pytest.mark.torch) if _needs_torch(n) else n for n in names]


every = pytest.mark.parametrize("name", _parameters(NAMES))
seeing = pytest.mark.parametrize("name", _parameters([n for n in NAMES if n not in BLIND]))


def brief(name: str) -> dict[str, object]:
    """Two epochs where it trains in epochs, few trees where it grows trees."""
    config = parts_for(registry.load("models", name), labels=True).config
    knobs = config.__dataclass_fields__
    few = {"set_": ["trees=5"]} if "trees" in knobs else {}
    return few | ({"epochs": 2} if "epochs" in knobs else {})


def train(name: str, cells: Path, output: Path, **options: object) -> Path:
    """A model of cell types from expression; `options` are those of the command."""
    options = {"source": "rna", "label": "cell_type", "min_cells_per_class": 3, **options}
    scgx.train(name, str(cells), str(output), quiet=True, **options)
    return output


def classify(model: Path, cells: Path, output: Path, **options: object) -> np.ndarray:
    """Probabilities, cells x classes."""
    scgx.classify(str(model), str(cells), str(output), quiet=True, **options)
    with open_cells(output) as found:
        return found.h5["obsm/scgx_prob"][()]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, small: Path) -> object:
    """`fitted(name)`: the path of a model fitted briefly on the small cells, once."""
    folder = tmp_path_factory.mktemp("named")

    def fit(name: str) -> Path:
        path = folder / f"{name}.scgx"
        return path if path.exists() else train(name, small, path, **brief(name))

    return fit


@every
def test_same_seed_same_bytes_whatever_the_memory(name, fitted, small: Path, tmp_path: Path):
    first = artifact.read(fitted(name))
    for memory in (None, "16M"):
        again = artifact.read(
            train(name, small, tmp_path / "again.scgx", memory=memory, **brief(name))
        )
        assert again.members == first.members
        assert again.header.labels == first.header.labels


@every
def test_threads_change_nothing(name, small: Path, tmp_path: Path, forked):
    made = []
    for threads in (1, 2):
        options = [f"--set={word}" for word in brief(name).get("set_", [])]
        if "epochs" in brief(name):
            options += ["--epochs", "2"]
        done = forked(
            "train", name, small, "--from", "rna", "--label", "cell_type", *options,
            "--min-cells-per-class", 3, "--threads", threads, "-o", tmp_path / "m.scgx",
        )  # fmt: skip
        assert done.code == 0, done.err
        made.append(artifact.read(tmp_path / "m.scgx").members)
    assert made[0] == made[1]


@every
def test_saved_and_restored_it_is_the_same(name, fitted):
    found = artifact.read(fitted(name))
    model = restore(found)
    assert isinstance(model, Classifies)
    assert dict(model.save()) == found.members


@every
def test_probabilities_are_those_of_the_cell_alone(name, fitted, small: Path, tmp_path: Path):
    whole = classify(fitted(name), small, tmp_path / "whole.h5ad")
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    tight = classify(fitted(name), small, tmp_path / "tight.h5ad", memory="16M")
    np.testing.assert_array_equal(whole, tight)
    few = rewrite(
        small, tmp_path / "few.h5ad",
        lambda t: Table(t.X[:10], t.obs.take(np.arange(10)), t.var),
    )  # fmt: skip
    np.testing.assert_array_equal(whole[:10], classify(fitted(name), few, tmp_path / "a.h5ad"))


@every
def test_dense_sparse_and_stored_zeros_get_the_same_answer(name, fitted, small, tmp_path: Path):
    expected = classify(fitted(name), small, tmp_path / "expected.h5ad")
    table = anndata.read_h5ad(small)
    values = sparse.csr_matrix(table.X)
    dense = values.toarray()
    full = sparse.csr_matrix(np.ones_like(dense))
    full.data = dense.ravel().copy()
    for kind, X in (("dense", dense), ("csc", values.tocsc()), ("zeros", full)):
        table.X = X
        table.write_h5ad(tmp_path / f"{kind}.h5ad")
        found = classify(fitted(name), tmp_path / f"{kind}.h5ad", tmp_path / "found.h5ad")
        np.testing.assert_array_equal(found, expected, err_msg=kind)


@every
def test_columns_in_another_order_change_nothing(name, fitted, small, tmp_path: Path):
    def reorder(table: Table) -> Table:
        order = np.random.default_rng(0).permutation(len(table.var))
        return Table(table.X[:, order], table.obs, table.var.take(order))

    other = rewrite(small, tmp_path / "reordered.h5ad", reorder)
    np.testing.assert_array_equal(
        classify(fitted(name), other, tmp_path / "a.h5ad"),
        classify(fitted(name), small, tmp_path / "b.h5ad"),
    )


@seeing
def test_values_under_other_names_change_the_answer(name, fitted, small, tmp_path: Path):
    def misname(table: Table) -> Table:
        return Table(table.X[:, ::-1].copy(), table.obs, table.var)

    genes = rewrite(
        small, tmp_path / "genes.h5ad",
        lambda t: Table(t.X[:, :20], t.obs, t.var.take(np.arange(20))),
    )  # fmt: skip
    other = rewrite(genes, tmp_path / "misnamed.h5ad", misname)
    changed = classify(fitted(name), other, tmp_path / "a.h5ad")
    assert np.abs(changed - classify(fitted(name), genes, tmp_path / "b.h5ad")).max() > 1e-3


@every
def test_missing_genes_are_borne(name, fitted, small, tmp_path: Path):
    half = rewrite(
        small, tmp_path / "half.h5ad",
        lambda t: Table(t.X[:, :10], t.obs, t.var.take(np.arange(10))),
    )  # fmt: skip
    made = classify(fitted(name), half, tmp_path / "made.h5ad")
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-5)


@every
def test_standardised_values_are_refused(name, fitted, small, tmp_path: Path):
    def standardise(table: Table) -> Table:
        scaled = (table.X - table.X.mean(axis=0)) / (table.X.std(axis=0) + 1)
        return Table(scaled.astype(np.float32), table.obs, table.var)

    import h5py

    other = rewrite(small, tmp_path / "scaled.h5ad", standardise)
    with h5py.File(other, "r+") as file:
        del file["uns/scgx/units"]
    with pytest.raises(DataError, match="scaled"):
        classify(fitted(name), other, tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()


@every
def test_it_loads_where_pickles_are_forbidden(name, fitted, small, tmp_path, monkeypatch):
    before = classify(fitted(name), small, tmp_path / "before.h5ad")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle was read")

    for target in ("pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.Unpickler"):
        monkeypatch.setattr(target, refuse)
    np.testing.assert_array_equal(classify(fitted(name), small, tmp_path / "a.h5ad"), before)


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells whose types are in many genes."""
    folder = tmp_path_factory.mktemp("typed")
    scgx.fetch("demo", output=str(folder / "a"), cells=800, genes=200, peaks=10, quiet=True)
    scgx.split(str(folder / "a"), str(folder / "b.h5ad"), stratify="cell_type", quiet=True)
    return folder / "b.h5ad"


def accuracy(guess: Path) -> float:
    """Share of test cells whose type is right."""
    obs = read(guess).obs
    test = obs.strings("split") == "test"
    return float((obs.strings("scgx_label") == obs.strings("cell_type"))[test].mean())


@seeing
def test_it_finds_the_types_of_the_demo(name: str, typed: Path, tmp_path: Path):
    model = train(name, typed, tmp_path / "model.scgx")
    classify(model, typed, tmp_path / "guess.h5ad")
    assert accuracy(tmp_path / "guess.h5ad") > 0.7


@seeing
def test_from_shuffled_labels_it_learns_nothing(name: str, typed: Path, tmp_path: Path):
    def shuffle(table: Table) -> Table:
        mixed = np.random.default_rng(0).permutation(table.obs.strings("cell_type"))
        return Table(table.X, table.obs.with_column("cell_type", mixed), table.var)

    shuffled = rewrite(typed, tmp_path / "shuffled.h5ad", shuffle)
    model = train(name, shuffled, tmp_path / "model.scgx", **brief(name))
    classify(model, shuffled, tmp_path / "guess.h5ad")
    labels = read(typed).obs.strings("cell_type")
    chance = max(np.unique(labels, return_counts=True)[1]) / len(labels)
    assert accuracy(tmp_path / "guess.h5ad") < chance + 0.12


@every
def test_every_knob_is_explained(name: str):
    from scgx.learn.config import describe

    config = parts_for(registry.load("models", name), labels=True).config
    config()
    for knob, _type, _default, word in describe(config):
        assert word, f"{name}: {knob} is not explained"
