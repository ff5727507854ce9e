"""Pairs that `multivae` draws: both modalities of one cell, as deep and as frequent as in training."""

from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.units import units_of
from scgx.learn import artifact
from scgx.learn.train import restore

pytestmark = pytest.mark.torch
GENES, PEAKS = 40, 120


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    whole, parted = folder / "d.h5ad", folder / "s.h5ad"
    scgx.fetch("demo", output=str(whole), cells=800, genes=GENES, peaks=PEAKS, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    return parted


def train(cells: Path, name: str, **options: object) -> Path:
    path = cells.parent / name
    small = ["hidden=32", "latent=8", "members=1", "foreseers=0", "batch_size=64"]
    options = {"epochs": 10, "set_": small, "quiet": True} | options
    scgx.train("multivae", str(cells), str(path), **options)
    return path


@pytest.fixture(scope="module")
def model(cells: Path) -> Path:
    return train(cells, "m.scgx", covariate=["donor"])


def generate(model: Path, folder: Path, **options: object) -> Table:
    scgx.generate(str(model), str(folder / "made.h5ad"), quiet=True, **options)
    return read(folder / "made.h5ad")


def correlations(truth: np.ndarray, guess: np.ndarray) -> float:
    truth, guess = truth - truth.mean(axis=0), guess - guess.mean(axis=0)
    spread = np.sqrt((truth**2).sum(axis=0) * (guess**2).sum(axis=0))
    return float(((truth * guess).sum(axis=0)[spread > 0] / spread[spread > 0]).mean())


def test_drawn_modalities_are_of_one_cell(model, cells, tmp_path):
    """Ridge that real cells taught foresees drawn peaks from the drawn genes of the same row."""
    made, real = generate(model, tmp_path, n=1500), read(cells)
    ridge, path = str(tmp_path / "r.scgx"), str(tmp_path / "p.h5ad")
    scgx.train("ridge", str(cells), ridge, source="rna", target="atac", quiet=True)

    def foreseen(file: Path) -> np.ndarray:
        scgx.predict(ridge, str(file), path, quiet=True)
        return read(path).X

    test = real.X[real.obs.strings("split") == "test"][:, GENES:] > 0
    guess, peaks = foreseen(tmp_path / "made.h5ad"), made.X[:, GENES:]
    own = correlations(peaks, guess)
    others = correlations(peaks[np.random.default_rng(0).permutation(len(peaks))], guess)
    assert own > 0.2 * correlations(test, foreseen(cells))
    assert abs(others) < own / 4


def test_genes_are_counts_and_peaks_are_open_or_not(model, tmp_path):
    made = generate(model, tmp_path, n=300)
    genes, peaks = made.X[:, :GENES], made.X[:, GENES:]
    assert made.X.shape == (300, GENES + PEAKS)
    assert (genes % 1 == 0).all() and genes.max() > 1 and set(np.unique(peaks)) == {0, 1}
    with open_cells(tmp_path / "made.h5ad") as found:
        assert units_of(found, "X", "rna") == "counts"
        assert units_of(found, "X", "atac") == "binary"
        assert found.matrix("X").dtype.kind == "i" and found.scgx["task"] == "generation"


def test_the_same_seed_draws_the_same_cells_whatever_memory_and_threads(model, tmp_path):
    made = [
        generate(model, tmp_path, n=1100, **options).X
        for options in ({}, {"memory": "16M", "threads": 1}, {"seed": 1})
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_the_same_command_writes_the_same_bytes(model, tmp_path):
    found = []
    for _ in range(2):
        generate(model, tmp_path, n=100)
        found.append((tmp_path / "made.h5ad").read_bytes())
    assert found[0] == found[1]


def test_drawn_cells_are_as_deep_and_features_as_frequent_as_in_training(model, cells, tmp_path):
    made, real = generate(model, tmp_path, n=3000), read(cells)
    train_rows = real.obs.strings("split") == "train"
    for side, is_open in ((slice(0, GENES), False), (slice(GENES, None), True)):
        truth, drawn = real.X[train_rows, side], made.X[:, side]
        truth = truth > 0 if is_open else truth
        deep, depth = truth.sum(axis=1), drawn.sum(axis=1)
        assert depth.mean() == pytest.approx(deep.mean(), rel=0.05)
        assert depth.std() == pytest.approx(deep.std(), rel=0.25)
        error = np.abs(drawn.mean(axis=0) - truth.mean(axis=0)).sum() / truth.mean(axis=0).sum()
        assert error < 0.1


def test_what_is_said_of_a_covariate_is_written_down_and_strange_words_are_refused(model, tmp_path):
    made = generate(model, tmp_path, n=20, condition=["donor=D1"])
    assert set(made.obs.strings("donor")) == {"D1"}
    assert "donor" not in generate(model, tmp_path, n=20).obs
    for words in ("donor=moon", "moon=1"):
        with pytest.raises(DataError, match="moon"):
            generate(model, tmp_path, n=5, condition=[words])


@pytest.mark.parametrize("options", [{"per_class": 5}, {"n": 5, "library_size": "fixed:100"}])
def test_pairs_have_no_class_and_no_depth_of_ones_own(model, tmp_path, options):
    with pytest.raises(UsageError, match="draws pairs"):
        generate(model, tmp_path, **options)


def test_a_model_that_draws_no_pairs_says_so(model, cells, tmp_path):
    scgx.train(
        "ridge", str(cells), str(tmp_path / "r.scgx"), source="atac", target="rna", quiet=True
    )
    small = ["hidden=8", "latent=4", "members=1", "foreseers=0", "counts=0"]
    blind = train(cells, "blind.scgx", epochs=1, set_=small)
    for path in (tmp_path / "r.scgx", blind):
        with pytest.raises(DataError, match="draw no pairs"):
            generate(path, tmp_path, n=5)


def test_what_it_draws_from_is_restored_to_the_bit(model):
    found = artifact.read(model)
    assert "prior.safetensors" in found.members
    assert dict(restore(found).save()) == found.members


@pytest.mark.parametrize("knobs", [["likelihood=poisson"], ["encoder=wide"]])
def test_counts_of_peaks_can_be_drawn_and_wide_encoders_draw_too(cells, tmp_path, knobs):
    small = ["hidden=16", "latent=4", "members=1", "foreseers=0", "batch_size=64"]
    made = generate(train(cells, "k.scgx", epochs=2, set_=[*small, *knobs]), tmp_path, n=400)
    peaks = made.X[:, GENES:]
    assert (peaks.max() > 1) == ("likelihood=poisson" in knobs)
    assert (peaks >= 0).all() and (peaks % 1 == 0).all()


def test_genes_and_antibodies_are_drawn_as_counts(cells, tmp_path):
    def as_antibodies(table: Table) -> Table:
        kinds = table.var.strings("feature_types")
        words = np.where(kinds == "Peaks", "Antibody Capture", kinds).tolist()
        return Table(table.X, table.obs, table.var.with_column("feature_types", categorical(words)))

    path = rewrite(cells, tmp_path / "adt.h5ad", as_antibodies)
    made = generate(train(path, "adt.scgx", epochs=2), tmp_path, n=50)
    assert made.X.shape == (50, GENES + PEAKS) and made.X[:, GENES:].max() > 1
    with open_cells(tmp_path / "made.h5ad") as found:
        assert units_of(found, "X", "adt") == "counts"
