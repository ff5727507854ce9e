"""`scgx align` on drawn cells: both sides of a file, two files, groups, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cells, split, both sides of the test cells on their own, and two models."""
    folder = tmp_path_factory.mktemp("align")
    at = {name: str(folder / f"{name}.h5ad") for name in ("whole", "split", "rna", "atac")}
    scgx.fetch("demo", output=at["whole"], cells=900, genes=40, peaks=160, quiet=True)
    scgx.split(at["whole"], at["split"], stratify="cell_type", quiet=True,
               fractions="0.6,0.2,0.2")  # fmt: skip
    for side in ("rna", "atac"):
        scgx.fetch(
            "demo", output=at[side], cells=900, genes=40, peaks=160, modality=side, quiet=True
        )
    for name in ("cca", "ridge"):
        scgx.train(name, at["split"], str(folder / f"{name}.scgx"), source="atac", target="rna",
                   quiet=True)  # fmt: skip
    return folder


def run(shop: Path, out: Path, first: str = "cca.scgx", input: str = "split.h5ad", **more: object):
    scgx.align(str(shop / first), str(shop / input), str(out), quiet=True, **more)
    return read(out)


@pytest.mark.parametrize("model", ["cca.scgx", "ridge.scgx"])
def test_true_partners_weigh_more_than_chance(shop: Path, tmp_path: Path, model: str) -> None:
    made = run(shop, tmp_path / "m.h5ad", model)
    n = len(made.obs)
    np.testing.assert_array_equal(made.obs.index, made.var.index)
    np.testing.assert_allclose(made.X.sum(axis=1), 1, atol=1e-5)
    assert np.diag(made.X).mean() > 3 / n
    with open_cells(tmp_path / "m.h5ad") as cells:
        left, right = (np.asarray(cells.h5[f"{kind}/X_common"]) for kind in ("obsm", "varm"))
    far = ((left[:, None] - right) ** 2).sum(axis=2)
    assert (far < np.diag(far)[:, None]).mean() < 0.35


def test_within_groups_no_cell_is_matched_across(shop: Path, tmp_path: Path) -> None:
    made = run(shop, tmp_path / "m.h5ad", by="donor")
    donor = made.obs.strings("donor")
    rows, columns = np.nonzero(made.X)
    assert (donor[rows] == donor[columns]).all()
    partner = dict(zip(made.var.index, donor, strict=True))
    assert all(partner[m] == d for m, d in zip(made.obs.strings("match"), donor, strict=True))


def test_labels_cross_over(shop: Path, tmp_path: Path) -> None:
    made = run(shop, tmp_path / "m.h5ad", transfer="cell_type")
    right = made.obs.strings("cell_type_transferred") == made.obs.strings("cell_type")
    assert right.mean() > 0.42  # the commonest type is 30 %


def test_two_files_are_matched_either_way_round(shop: Path, tmp_path: Path) -> None:
    more = {"model": str(shop / "cca.scgx"), "pairs": str(shop / "split.h5ad"), "rows": "all"}
    one = run(shop, tmp_path / "a.h5ad", "atac.h5ad", "rna.h5ad", **more)
    other = run(shop, tmp_path / "b.h5ad", "rna.h5ad", "atac.h5ad", **more)
    assert one.X.shape == other.X.shape == (900, 900)
    assert np.diag(one.X).mean() > 3 / 900
    assert np.diag(other.X).mean() > 3 / 900


def test_one_to_one_has_a_partner_for_each(shop: Path, tmp_path: Path) -> None:
    made = run(shop, tmp_path / "m.h5ad", one_to_one=True)
    np.testing.assert_array_equal(made.X.sum(axis=1), 1)
    np.testing.assert_array_equal(made.X.sum(axis=0), 1)


def test_the_pairing_of_the_scored_rows_is_not_used(shop: Path, tmp_path: Path) -> None:
    """Cells of two files in another order get the same partners, by name."""
    with open_cells(shop / "rna.h5ad") as cells:
        order = np.random.default_rng(0).permutation(cells.n_obs)
    from support.tables import Table, rewrite

    rewrite(
        shop / "rna.h5ad",
        shop / "turned.h5ad",
        lambda t: Table(t.X[order], t.obs.take(order), t.var),
    )
    more = {"model": str(shop / "cca.scgx"), "temperature": 0.1, "rows": "all"}
    plain = run(shop, tmp_path / "a.h5ad", "atac.h5ad", "rna.h5ad", **more)
    turned = run(shop, tmp_path / "b.h5ad", "atac.h5ad", "turned.h5ad", **more)
    same = plain.obs.strings("match") == turned.obs.strings("match")
    assert same.mean() > 0.99  # float32 sums of columns run in another order


def test_the_same_input_gives_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    run(shop, tmp_path / "a.h5ad", history=False)
    run(shop, tmp_path / "b.h5ad", history=False, memory="64M")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def _nobody(table: Table) -> Table:
    return Table(table.X[:0], table.obs.take(np.arange(0)), table.var)


def test_what_cannot_be_matched_is_refused_with_what_mends_it(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.h5ad"
    with pytest.raises(DataError, match="has not both"):
        run(shop, out, input="rna.h5ad")
    with pytest.raises(DataError, match="no atac in one file"):
        run(shop, out, "rna.h5ad", "rna.h5ad", model=str(shop / "cca.scgx"))
    nobody = rewrite(shop / "split.h5ad", tmp_path / "nobody.h5ad", _nobody)
    with pytest.raises(DataError, match="there are no cells"):
        scgx.align(str(shop / "cca.scgx"), str(nobody), str(out), rows="all", quiet=True)
    with pytest.raises(UsageError, match="unknown"):
        run(shop, out, method="magic")
    with pytest.raises(DataError, match="cell_typ"):
        run(shop, out, transfer="cell_typ")
    scgx.train("majority", str(shop / "split.h5ad"), str(tmp_path / "c.scgx"), label="cell_type",
               quiet=True)  # fmt: skip
    with pytest.raises(DataError, match="relates no two modalities"):
        scgx.align(str(tmp_path / "c.scgx"), str(shop / "split.h5ad"), str(out), quiet=True)
    assert not out.exists()
