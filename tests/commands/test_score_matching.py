"""`scgx score` of a match: pairs by name, controls beside it, and what is refused."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.tables import Table, rewrite

import scgx
from scgx.errors import DataError, InputError, UsageError


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Split cells, and a match of the test cells."""
    folder = tmp_path_factory.mktemp("score-matching")
    whole, split, match = (str(folder / f"{name}.h5ad") for name in ("whole", "split", "match"))
    scgx.fetch("demo", output=whole, cells=700, genes=30, peaks=120, quiet=True)
    scgx.split(whole, split, stratify="cell_type", fractions="0.5,0.2,0.3", quiet=True)
    model = str(folder / "ridge.scgx")
    scgx.train("ridge", split, model, source="atac", target="rna", quiet=True)
    scgx.align(model, split, match, quiet=True)
    return folder


def score(shop: Path, guess: Path, capsys: pytest.CaptureFixture[str], **more: object) -> dict:
    capsys.readouterr()
    scgx.score(str(shop / "split.h5ad"), [str(guess)], json=True, quiet=True, **more)
    return json.loads(capsys.readouterr().out)


def values(found: dict, name: str) -> dict[str, float]:
    """What one column of the table reached, by metric."""
    return {key: about["values"][name]["value"] for key, about in found["metrics"].items()}


def test_a_match_beats_chance_and_the_controls_are_at_chance(shop: Path, capsys) -> None:
    found = score(shop, shop / "match.h5ad", capsys, label="cell_type", per=["donor"])
    made, constant, truth = (values(found, name) for name in ("ridge", "constant", "truth"))
    n = found["n_cells"]
    assert constant["match_probability"] == pytest.approx(1 / n)
    assert constant["foscttm"] == constant["pairing_auroc"] == 0.5
    assert truth["match_probability"] == truth["mrr"] == truth["label_transfer_accuracy"] == 1
    assert made["match_probability"] > 2 / n
    assert made["foscttm"] < 0.4
    assert "ridge beats the best baseline" in found["verdicts"][0]["sentence"]
    assert {level["column"] for level in found["levels"]} == {"donor"}


def test_the_order_of_rows_and_columns_changes_nothing(shop: Path, tmp_path: Path, capsys) -> None:
    def shuffle(table: Table) -> Table:
        rng = np.random.default_rng(1)
        rows, columns = rng.permutation(len(table.obs)), rng.permutation(len(table.var))
        return Table(table.X[rows][:, columns], table.obs.take(rows), table.var.take(columns))

    plain = rewrite(shop / "match.h5ad", tmp_path / "plain.h5ad", lambda table: table)
    turned = rewrite(shop / "match.h5ad", tmp_path / "turned.h5ad", shuffle)
    for path in (plain, turned):  # places were copied as they were, in the old order
        with h5py.File(path, "r+") as file:
            del file["obsm"], file["varm"]
    one, other = (
        values(score(shop, path, capsys, task="matching"), "ridge") for path in (plain, turned)
    )
    assert one.pop("seurat_alignment") is other.pop("seurat_alignment") is None  # no places
    assert one == pytest.approx(other, rel=1e-6)


def test_shuffled_names_are_at_chance(shop: Path, tmp_path: Path, capsys) -> None:
    def misname(table: Table) -> Table:
        order = np.random.default_rng(2).permutation(len(table.var))
        return Table(table.X, table.obs, table.var.take(order))

    other = rewrite(shop / "match.h5ad", tmp_path / "m.h5ad", misname)
    found = values(score(shop, other, capsys, task="matching"), "ridge")
    assert 0.42 < found["foscttm"] < 0.58
    assert found["match_probability"] < 0.02


def test_what_is_no_match_is_refused(shop: Path, tmp_path: Path, capsys) -> None:
    match = shop / "match.h5ad"
    with pytest.raises(UsageError, match="--units"):
        score(shop, match, capsys, units="counts")
    with pytest.raises(DataError, match="no cells of the truth"):
        score(shop, shop / "split.h5ad", capsys, task="matching")
    bad = tmp_path / "bad.h5ad"
    bad.write_bytes(match.read_bytes())
    with h5py.File(bad, "r+") as file:
        file["obsm/X_common"][0, 0] = np.nan
    with pytest.raises(InputError):
        score(shop, bad, capsys)
