"""Genes and antibodies of the same cells: both ways, in one unit, without the controls."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import scgx
from scgx import registry
from scgx.errors import DataError, UsageError
from scgx.h5ad.features import columns_of
from scgx.h5ad.isotypes import CONTROL, isotype_controls
from scgx.h5ad.reader import open_cells
from scgx.learn import apply, artifact, two_sided

WAYS = [("rna", "adt"), ("adt", "rna")]
SMALL = {
    "mlp": ["epochs=4", "members=1"],
    "multivae": ["epochs=3", "latent=8", "common=4", "hidden=32", "members=1", "foreseers=1"],
    "cca": ["dimensions=8"],
}
NETWORKS = {"mlp", "stacked", "multivae"}
MODELS = ["mean", "ridge", "knn", "kernel-ridge", "mlp", "stacked", "cca", "multivae"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cite")
    whole = str(folder / "whole.h5ad")
    scgx.fetch("demo", output=whole, cells=600, genes=60, modality="adt", quiet=True)
    scgx.split(whole, str(folder / "split.h5ad"), by="donor", quiet=True)
    return folder


def score(truth: Path, guess: Path, capsys: pytest.CaptureFixture[str], **more: object) -> dict:
    capsys.readouterr()
    scgx.score(str(truth), [str(guess)], json=True, quiet=True, **more)
    return json.loads(capsys.readouterr().out)


def test_clr_is_of_antibodies_and_log_of_genes(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "normal.h5ad"
    scgx.normalize(str(shop / "split.h5ad"), str(out), quiet=True)
    with open_cells(shop / "split.h5ad") as raw, open_cells(out) as made:
        assert made.scgx["units"]["X"] == {"rna": "log1p-cp10k", "adt": "clr"}
        adt, rows = columns_of(raw, "adt"), np.arange(raw.n_obs)
        counts = raw.rows("X", rows, adt).toarray()
        centre = np.exp(np.log1p(counts).mean(axis=1, keepdims=True))
        expected = np.log1p(counts / centre)
        np.testing.assert_allclose(made.rows("X", rows, adt).toarray(), expected, rtol=1e-5)


def test_normalize_marks_controls_that_only_names_tell(shop: Path, tmp_path: Path, capsys) -> None:
    bare, out = tmp_path / "bare.h5ad", tmp_path / "out.h5ad"
    bare.write_bytes((shop / "whole.h5ad").read_bytes())
    with h5py.File(bare, "r+") as file:
        del file[f"var/{CONTROL}"]
        order = [name for name in file["var"].attrs["column-order"] if name != CONTROL]
        file["var"].attrs["column-order"] = order
    scgx.normalize(str(bare), str(out), modality="adt")
    assert "4 isotype controls are marked" in capsys.readouterr().err
    with open_cells(out) as cells:
        assert cells.var[CONTROL].sum() == 4


@pytest.mark.parametrize(
    "model", [pytest.param(n, marks=pytest.mark.torch) if n in NETWORKS else n for n in MODELS]
)
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_every_model_of_modalities_goes_both_ways_or_says_that_it_does_not(
    shop: Path, tmp_path: Path, capsys, model: str, source: str, target: str
) -> None:
    split, trained, guess = str(shop / "split.h5ad"), str(tmp_path / "m"), tmp_path / "guess.h5ad"
    roles = {"source": source, "target": target, "set_": SMALL.get(model), "quiet": True}
    if source not in registry.load("models", model).FROM:
        with pytest.raises(DataError, match="does not predict rna from adt"):
            scgx.train(model, split, trained, **roles)
        return
    scgx.train(model, split, trained, **roles)
    scgx.predict(trained, split, str(guess), quiet=True)
    found = score(shop / "split.h5ad", guess, capsys)
    assert found["modality"] == target
    assert found["n_features"] == (60 if target == "rna" else 26)
    reached = found["metrics"]["pearson_per_feature"]["values"][model]["value"]
    assert reached == 0 if model == "mean" else reached > (0.1 if target == "rna" else 0.3)


def test_controls_are_predicted_and_marked_and_not_scored(
    shop: Path, tmp_path: Path, capsys
) -> None:
    split, trained, guess = shop / "split.h5ad", str(tmp_path / "m"), tmp_path / "guess.h5ad"
    scgx.train("ridge", str(split), trained, source="rna", target="adt", quiet=True)
    scgx.predict(trained, str(split), str(guess), quiet=True)
    with open_cells(guess) as cells:
        assert cells.n_var == 30
        assert cells.var[CONTROL].sum() == isotype_controls(cells.var).sum() == 4
    capsys.readouterr()
    scgx.score(str(split), [str(guess)], json=True)
    said = capsys.readouterr()
    assert "4 isotype controls bind nothing and are not scored" in said.err
    assert json.loads(said.out)["n_features"] == 26


def test_counts_are_scored_as_clr_is(shop: Path, tmp_path: Path, capsys) -> None:
    """A truth of counts is brought to the CLR of the guess over all antibodies, controls too."""
    split, normal = shop / "split.h5ad", tmp_path / "normal.h5ad"
    trained, guess = str(tmp_path / "m"), tmp_path / "guess.h5ad"
    scgx.normalize(str(split), str(normal), quiet=True)
    scgx.train("ridge", str(split), trained, source="rna", target="adt", quiet=True)
    scgx.predict(trained, str(split), str(guess), quiet=True)
    ways = [score(truth, guess, capsys)["metrics"] for truth in (split, normal)]
    for key in ("pearson_per_feature", "rmse", "r2_oos"):
        one, other = (way[key]["values"]["ridge"]["value"] for way in ways)
        assert one == pytest.approx(other, abs=1e-6)
    replicate = ways[0]["pearson_per_feature"]["replicate"]
    assert replicate["mean" if isinstance(replicate, dict) else 0] > 0.8


def test_a_model_of_some_antibodies_learns_the_clr_of_all(
    shop: Path, tmp_path: Path, capsys
) -> None:
    split, trained = shop / "split.h5ad", str(tmp_path / "m")
    with open_cells(split) as cells:
        some = cells.var_names[columns_of(cells, "adt")[:5]]
    (tmp_path / "some.txt").write_text("\n".join(some))
    roles = {"source": "rna", "target": "adt", "set_": ["rank=10", "penalty=0.01"], "quiet": True}
    made = []
    for name, targets in (("few", tmp_path / "some.txt"), ("all", None)):
        guess = tmp_path / f"{name}.h5ad"
        scgx.train("ridge", str(split), trained, targets=targets, **roles)
        scgx.predict(
            trained, str(split), str(guess), features=str(tmp_path / "some.txt"), quiet=True
        )
        with open_cells(guess) as cells:
            made.append(cells.rows("X", np.arange(cells.n_obs)))
    np.testing.assert_allclose(*made, rtol=1e-4, atol=1e-5)


def test_align_matches_genes_with_antibodies(shop: Path, tmp_path: Path, capsys) -> None:
    split, trained, match = shop / "split.h5ad", str(tmp_path / "m"), tmp_path / "match.h5ad"
    for source, target in WAYS:
        scgx.train("cca", str(split), trained, source=source, target=target, quiet=True)
        scgx.align(trained, str(split), str(match), quiet=True)
        found = score(split, match, capsys, task="matching")
        assert found["metrics"]["foscttm"]["values"]["cca"]["value"] < 0.25
        mixed = found["metrics"]["seurat_alignment"]["values"]["cca"]["value"]
        assert mixed > 0.2  # in the space alone, without the coordinates that free hubs


def test_peaks_go_with_chromatin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--peaks goes with chromatin"):
        scgx.fetch("demo", output=str(tmp_path / "a"), modality="adt", peaks=40, quiet=True)


def test_simulate_draws_the_same_of_any_size(tmp_path: Path) -> None:
    one, other = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    scgx.fetch(
        "demo", output=str(one), modality="adt", cells=60, genes=20, history=False, quiet=True
    )
    scgx.simulate(str(other), kind="cite", cells=60, genes=20, history=False, quiet=True)
    assert one.read_bytes() == other.read_bytes()


def test_targets_are_normalised_by_all_genes(shop: Path, tmp_path: Path, capsys) -> None:
    """--targets fits some genes, in log1p CP10k of the whole cell."""
    split, trained = shop / "split.h5ad", str(tmp_path / "m")
    with open_cells(split) as cells:
        some = cells.var_names[columns_of(cells, "rna")[:5]]
    (tmp_path / "some.txt").write_text("\n".join(some))
    roles = {"source": "adt", "target": "rna", "set_": ["rank=10", "penalty=0.01"], "quiet": True}
    made = []
    for targets in (tmp_path / "some.txt", None):
        guess, chosen = tmp_path / "guess.h5ad", str(tmp_path / "some.txt")
        scgx.train("ridge", str(split), trained, targets=targets, **roles)
        scgx.predict(trained, str(split), str(guess), features=chosen, quiet=True)
        with open_cells(guess) as cells:
            made.append(cells.rows("X", np.arange(cells.n_obs)))
    np.testing.assert_allclose(*made, rtol=1e-4, atol=1e-5)


def test_one_modality_alone_is_no_pair(shop: Path, tmp_path: Path) -> None:
    alone = str(tmp_path / "rna.h5ad")
    scgx.fetch("demo", output=alone, cells=60, genes=20, peaks=40, modality="rna", quiet=True)
    for model, roles in (("cca", {}), ("ridge", {"target": "rna"}), ("ridge", {"source": "rna"})):
        with pytest.raises(DataError, match="has rna alone") as refused:
            scgx.train(model, alone, str(tmp_path / "m"), quiet=True, **roles)
        assert "scgx join" in str(refused.value.fix)


def test_info_names_the_controls(shop: Path, capsys) -> None:
    capsys.readouterr()
    scgx.info(str(shop / "whole.h5ad"), json=True)
    names = json.loads(capsys.readouterr().out)["isotype_controls"]
    assert names == ["Mouse-IgG1", "Mouse-IgG2a", "Mouse-IgG2b", "Rat-IgG2b"]
    scgx.info(str(shop / "whole.h5ad"))
    assert "Mouse-IgG1, Mouse-IgG2a" in capsys.readouterr().out


def test_a_joint_model_of_some_antibodies_sees_them_as_it_learned_them(
    shop: Path, tmp_path: Path
) -> None:
    split, normal, model = shop / "split.h5ad", tmp_path / "normal.h5ad", tmp_path / "m.scgx"
    scgx.normalize(str(split), str(normal), quiet=True)
    with open_cells(split) as cells:
        some = cells.var_names[columns_of(cells, "adt")[:6]]
    (tmp_path / "some.txt").write_text("\n".join(some))
    scgx.train(
        "cca", str(split), str(model), source="rna", target="adt", targets=tmp_path / "some.txt",
        set_=["dimensions=4", "components=6"], quiet=True,
    )  # fmt: skip
    rows, header = np.arange(40), artifact.read(model).header
    assert header.target_totals == "whole"
    with open_cells(split) as cells, open_cells(normal) as made:
        alignment = two_sided.align_side(cells, header, "outputs", 0.05)
        seen = apply.block(cells, alignment, rows).x[:40].toarray()
        learned = made.rows("X", rows, columns_of(made, "adt")[:6]).toarray()
    np.testing.assert_allclose(seen, learned, rtol=1e-5)
