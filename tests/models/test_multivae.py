"""`multivae`: both ways, both modalities or one, and windows that end where chromosomes end."""

from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx.errors import DataError
from scgx.h5ad.frame import categorical
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact, two_sided
from scgx.learn.train import restore

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    scgx.fetch("demo", output=str(folder / "d.h5ad"), cells=400, genes=30, peaks=120, quiet=True)
    scgx.split(str(folder / "d.h5ad"), str(folder / "s.h5ad"), by="donor", quiet=True)
    return folder / "s.h5ad"


def train(cells: Path, name: str = "m.scgx", **options: object) -> Path:
    path = cells.parent / name
    options = {"epochs": 2, "set_": ["hidden=32", "latent=8"], "quiet": True} | options
    scgx.train("multivae", str(cells), str(path), **options)
    return path


@pytest.fixture(scope="module")
def model(cells: Path) -> Path:
    return train(cells)


def places(model: Path, cells: Path, sides: str) -> np.ndarray:
    found = artifact.read(model)
    with open_cells(cells) as opened:
        pair = two_sided.pair_of(opened, found.header, None, 0.05)
        pair = two_sided.Pair(
            pair.source if "source" in sides else None, pair.target if "target" in sides else None
        )
        rows = np.arange(opened.n_obs)
        return np.vstack(list(two_sided.embed(restore(found), opened, pair, rows, "m")))


def test_of_two_modalities_genes_come_first_and_both_are_predicted(model, cells, tmp_path):
    header = artifact.read(model).header
    assert (header.inputs.modality, header.outputs.modality) == ("rna", "atac")
    for way, width, most in (({}, 120, 1), ({"source": "atac", "target": "rna"}, 30, np.inf)):
        path = tmp_path / "p.h5ad"
        scgx.predict(str(model), str(cells), str(path), quiet=True, **way)
        guess = read(path)
        assert guess.X.shape[1] == width
        assert np.isfinite(guess.X).all() and guess.X.min() >= 0 and guess.X.max() <= most


def test_the_way_back_is_that_of_a_model_trained_the_other_way_round(cells, model, tmp_path):
    other = train(cells, "other.scgx", source="atac", target="rna")
    scgx.predict(str(other), str(cells), str(tmp_path / "a.h5ad"), quiet=True)
    scgx.predict(
        str(model), str(cells), str(tmp_path / "b.h5ad"), quiet=True, source="atac", target="rna"
    )
    np.testing.assert_array_equal(read(tmp_path / "a.h5ad").X, read(tmp_path / "b.h5ad").X)


def test_cells_of_either_modality_and_of_both_have_places_of_unit_length(model, cells):
    for sides in ("source", "target", "source target"):
        found = places(model, cells, sides)
        np.testing.assert_allclose((found**2).sum(axis=1), 1, atol=1e-5)


def test_the_two_places_of_a_cell_are_nearer_than_those_of_others(cells):
    trained = train(cells, "long.scgx", epochs=20)
    near = places(trained, cells, "source") @ places(trained, cells, "target").T
    rank = (near > np.diag(near)[:, None]).mean()
    assert rank < 0.3


@pytest.mark.parametrize(
    "knobs",
    [["encoder=wide"], ["encoder=dilated", "bin=5000000"], ["likelihood=poisson"],
     ["combine=mixture", "divergence=0.01"], ["counts=0", "foreseers=0"]],
)  # fmt: skip
def test_every_way_to_look_and_to_learn_predicts(cells, tmp_path, knobs):
    small = ["hidden=16", "latent=4", "members=1"]
    made = train(cells, "k.scgx", epochs=1, set_=[*small, *knobs])
    scgx.predict(str(made), str(cells), str(tmp_path / "p.h5ad"), quiet=True)
    assert np.isfinite(read(tmp_path / "p.h5ad").X).all()


def test_decoders_are_told_a_batch_and_an_adversary_hides_it(cells, tmp_path):
    options = {"set_": ["hidden=16", "latent=4", "adversary=0.5"], "covariate": ["donor"]}
    made = train(cells, "batch.scgx", **options)
    scgx.predict(str(made), str(cells), str(tmp_path / "p.h5ad"), quiet=True)
    assert np.isfinite(read(tmp_path / "p.h5ad").X).all()


def test_rna_and_antibodies_are_a_pair_too(cells, tmp_path):
    def as_antibodies(table: Table) -> Table:
        kinds = table.var.strings("feature_types")
        words = np.where(kinds == "Peaks", "Antibody Capture", kinds).tolist()
        return Table(table.X, table.obs, table.var.with_column("feature_types", categorical(words)))

    path = rewrite(cells, tmp_path / "adt.h5ad", as_antibodies)
    made = train(path, "adt.scgx")
    header = artifact.read(made).header
    assert (header.inputs.modality, header.outputs.modality) == ("rna", "adt")
    for way in ({}, {"source": "adt", "target": "rna"}):
        scgx.predict(str(made), str(path), str(tmp_path / "p.h5ad"), quiet=True, **way)
        assert np.isfinite(read(tmp_path / "p.h5ad").X).all()


def test_a_model_of_one_way_predicts_no_other(cells, tmp_path):
    scgx.train(
        "ridge", str(cells), str(tmp_path / "r.scgx"), source="atac", target="rna", quiet=True
    )
    with pytest.raises(DataError, match="does not predict atac from rna"):
        scgx.predict(
            str(tmp_path / "r.scgx"), str(cells), str(tmp_path / "p.h5ad"),
            source="rna", target="atac", quiet=True,
        )  # fmt: skip


def test_no_window_crosses_the_end_of_a_chromosome():
    import torch
    from scipy import sparse

    from scgx.models._multivae_beside import Genome, Layout, Rows

    chrom = np.array(["chr1"] * 40 + ["chr2"] * 40, dtype=object)
    layout = Layout.of(chrom, np.tile(np.arange(40) * 10, 2), 10)
    torch.manual_seed(0)
    look = Genome(layout, 4, 8)
    cell = np.zeros((2, 80), np.float32)
    cell[1, 39] = 1  # the last bin of chr1
    found = look.features(Rows.of(sparse.csr_array(cell)))
    changed = (found[0] != found[1]).any(dim=0).numpy()
    second = layout.slot[40]
    assert changed[: layout.slot[39] + 1].any() and not changed[second:].any()
