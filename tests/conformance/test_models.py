"""Every model, the same checks: bytes, files, memory, names, units, and whether it learns at all."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.processes import environment
from support.tables import Table, read, rewrite

import scgx
from scgx import registry
from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact

NAMES = [name for name in registry.names("models") if registry.load("models", name).TO]
BLIND = {"mean", "group-mean"}  # they look at no feature, by design
OPTIONS: dict[str, dict[str, object]] = {"group-mean": {"covariate": ["cell_type"]}}


def _needs_torch(name: str) -> bool:
    return importlib.util.find_spec(f"scgx.models._{name.replace('-', '_')}_net") is not None


def _parameters(names: list[str]) -> list[object]:
    return [
        pytest.param(name, marks=pytest.mark.torch) if _needs_torch(name) else name
        for name in names
    ]


every = pytest.mark.parametrize("name", _parameters(NAMES))
seeing = pytest.mark.parametrize("name", _parameters([n for n in NAMES if n not in BLIND]))


def brief(name: str) -> dict[str, object]:
    """Options of `train` for a model: what it needs, and two epochs where it trains in epochs."""
    knobs = registry.load("models", name).Config.__dataclass_fields__
    return OPTIONS.get(name, {}) | ({"epochs": 2} if "epochs" in knobs else {})


def train(name: str, cells: Path, output: Path, **options: object) -> Path:
    """A model from chromatin to expression; `options` are those of the command."""
    scgx.train(name, str(cells), str(output), source="atac", target="rna", quiet=True, **options)
    return output


def predict(model: Path, cells: Path, output: Path, **options: object) -> np.ndarray:
    """What a model says about the test cells, cells x genes."""
    scgx.predict(str(model), str(cells), str(output), quiet=True, **options)
    return read(output).X


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, small: Path) -> object:
    """`fitted(name)`: the path of a model fitted briefly on the small cells, once."""
    folder = tmp_path_factory.mktemp("fitted")

    def fit(name: str) -> Path:
        path = folder / f"{name}.scgx"
        return path if path.exists() else train(name, small, path, **brief(name))

    return fit


@every
def test_same_seed_same_bytes(name: str, fitted, small: Path, tmp_path: Path) -> None:
    again = artifact.read(train(name, small, tmp_path / "again.scgx", **brief(name)))
    first = artifact.read(fitted(name))
    assert again.members == first.members
    assert again.summary.keys() == first.summary.keys()
    for key, values in first.summary.items():
        np.testing.assert_array_equal(again.summary[key], values)


HASHED = """
import hashlib, json, sys
import scgx
wishes, cells, folder = json.loads(sys.argv[1])
for name, options in wishes.items():
    path = f"{folder}/{name}.scgx"
    scgx.train(name, cells, "model.scgx", source="atac", target="rna", quiet=True, **options)
    print(name, hashlib.sha256(open("model.scgx", "rb").read()).hexdigest())
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([n for n in NAMES if not _needs_torch(n)], id="numpy"),
        pytest.param([n for n in NAMES if _needs_torch(n)], id="torch", marks=pytest.mark.torch),
    ],
)
def test_the_order_of_hashes_changes_no_byte(names: list[str], small: Path, tmp_path: Path) -> None:
    wishes = json.dumps([{name: brief(name) for name in names}, str(small), str(tmp_path)])
    said = [
        subprocess.run(
            [sys.executable, "-c", HASHED, wishes], env=environment(PYTHONHASHSEED=seed),
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert said[0].count("\n") == len(names)
    assert said[0] == said[1]


@every
def test_saved_and_restored_it_answers_the_same(name: str, fitted) -> None:
    found = artifact.read(fitted(name))
    module = registry.load("models", name)
    knobs = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in found.header.config.items()
    }
    model = module.Model.restore(module.Config(**knobs), found.members)
    assert dict(model.save()) == found.members


@every
def test_memory_and_blocks_change_nothing(name: str, fitted, small: Path, tmp_path: Path) -> None:
    tight = train(name, small, tmp_path / "tight.scgx", memory="16M", **brief(name))
    assert artifact.read(tight).members == artifact.read(fitted(name)).members
    whole = predict(fitted(name), small, tmp_path / "a.h5ad", rows="all")
    parts = predict(fitted(name), small, tmp_path / "b.h5ad", rows="all", memory="16M")
    np.testing.assert_array_equal(whole, parts)


@every
def test_a_cell_is_answered_alike_alone_and_in_company(
    name: str, fitted, small: Path, tmp_path: Path
) -> None:
    def first_ten(table: Table) -> Table:
        return Table(table.X[:10], table.obs.take(np.arange(10)), table.var)

    few = rewrite(small, tmp_path / "few.h5ad", first_ten)
    alone = predict(fitted(name), few, tmp_path / "alone.h5ad", rows="all")
    company = predict(fitted(name), small, tmp_path / "company.h5ad", rows="all")
    np.testing.assert_array_equal(alone, company[:10])


@every
def test_it_loads_where_pickles_are_forbidden(
    name: str, fitted, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predict(fitted(name), small, tmp_path / "before.h5ad")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle was read")

    for target in ("pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.Unpickler"):
        monkeypatch.setattr(target, refuse)
    np.testing.assert_array_equal(predict(fitted(name), small, tmp_path / "after.h5ad"), before)


@every
def test_other_units_are_refused(name: str, fitted, small: Path, tmp_path: Path) -> None:
    def standardise(table: Table) -> Table:
        scaled = (table.X - table.X.mean(axis=0)) / (table.X.std(axis=0) + 1)
        return Table(scaled.astype(np.float32), table.obs, table.var)

    other = rewrite(small, tmp_path / "scaled.h5ad", standardise)
    undeclare(other)
    with pytest.raises(DataError) as refusal:
        predict(fitted(name), other, tmp_path / "out.h5ad")
    assert refusal.value.code == 4
    assert not (tmp_path / "out.h5ad").exists()


def undeclare(path: Path) -> None:
    """Take away what the file says about its units, so that the values have to speak."""
    import h5py

    with h5py.File(path, "r+") as file:
        del file["uns/scgx/units"]


@every
def test_columns_in_another_order_change_nothing(
    name: str, fitted, small: Path, tmp_path: Path
) -> None:
    def reorder(table: Table) -> Table:
        order = np.random.default_rng(0).permutation(len(table.var))
        return Table(table.X[:, order], table.obs, table.var.take(order))

    other = rewrite(small, tmp_path / "reordered.h5ad", reorder)
    np.testing.assert_array_equal(
        predict(fitted(name), other, tmp_path / "a.h5ad"),
        predict(fitted(name), small, tmp_path / "b.h5ad"),
    )


@seeing
def test_values_under_other_names_change_the_answer(
    name: str, fitted, small: Path, tmp_path: Path
) -> None:
    def misname(table: Table) -> Table:
        atac = np.flatnonzero(table.var.strings("feature_types") == "Peaks")
        columns = np.arange(len(table.var))
        columns[atac] = np.random.default_rng(0).permutation(atac)
        return Table(table.X[:, columns], table.obs, table.var)

    other = rewrite(small, tmp_path / "misnamed.h5ad", misname)
    changed = predict(fitted(name), other, tmp_path / "a.h5ad")
    assert np.abs(changed - predict(fitted(name), small, tmp_path / "b.h5ad")).max() > 1e-4


@every
def test_a_direction_it_does_not_know_is_refused(name: str, small: Path, tmp_path: Path) -> None:
    module = registry.load("models", name)
    output = str(tmp_path / "model.scgx")
    if "rna" in module.FROM and "atac" in module.TO:
        scgx.train(name, str(small), output, source="rna", target="atac", quiet=True, **brief(name))
        guess = predict(tmp_path / "model.scgx", small, tmp_path / "guess.h5ad")
        assert np.isfinite(guess).all()
        return
    with pytest.raises(DataError) as refusal:
        scgx.train(name, str(small), output, source="rna", target="atac", quiet=True)
    assert refusal.value.code == 4
    assert name in str(refusal.value)


def correlation(cells: Path, guess: Path) -> float:
    """Mean over genes of Pearson's r with the measured log1p CP10k of the predicted cells."""
    measured, predicted = read(cells), read(guess)
    genes = len(predicted.var)
    counts = measured.X[:, :genes]
    seen = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    row = {cell: i for i, cell in enumerate(measured.obs.index)}
    seen = seen[[row[cell] for cell in predicted.obs.index]]
    a, b = seen - seen.mean(axis=0), predicted.X - predicted.X.mean(axis=0, dtype=np.float64)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.divide((a * b).sum(axis=0), size, out=np.zeros(genes), where=size > 0).mean())


def ceiling(cells: Path) -> float:
    """The r of the true rates with the counts drawn from them."""
    with open_cells(cells) as found:
        return float(found.h5["uns/truth/oracle_r"][()])


@seeing
def test_it_reaches_half_of_what_can_be_known(name: str, telling: Path, tmp_path: Path) -> None:
    model = train(name, telling, tmp_path / "model.scgx", **OPTIONS.get(name, {}))
    predict(model, telling, tmp_path / "guess.h5ad")
    assert correlation(telling, tmp_path / "guess.h5ad") >= 0.5 * ceiling(telling)


@seeing
def test_from_shuffled_pairs_it_learns_nothing(name: str, telling: Path, tmp_path: Path) -> None:
    def shuffle(table: Table) -> Table:
        peaks = table.var.strings("feature_types") == "Peaks"
        X = table.X.copy()
        X[:, peaks] = table.X[np.random.default_rng(0).permutation(len(X))][:, peaks]
        return Table(X, table.obs, table.var)

    shuffled = rewrite(telling, tmp_path / "shuffled.h5ad", shuffle)
    model = train(name, shuffled, tmp_path / "model.scgx", **brief(name))
    predict(model, shuffled, tmp_path / "guess.h5ad")
    assert abs(correlation(shuffled, tmp_path / "guess.h5ad")) < 0.08


@every
def test_every_knob_has_a_default_and_a_word(name: str) -> None:
    from scgx.learn.config import describe

    config = registry.load("models", name).Config
    config()
    for knob, _type, _default, word in describe(config):
        assert word, f"{name}: {knob} is not explained"


def test_a_frame_that_is_rewritten_is_the_same(small: Path, tmp_path: Path) -> None:
    same = read(rewrite(small, tmp_path / "same.h5ad", lambda table: table))
    first = read(small)
    np.testing.assert_array_equal(same.X, first.X)
    assert isinstance(same.obs, Frame)
    assert hashlib.sha256(same.X.tobytes()).digest() == hashlib.sha256(first.X.tobytes()).digest()
