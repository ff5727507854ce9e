"""Pairs of an atlas: partners agree, genes were measured by both, labels say what differs."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import scgx
from scgx.cells import network, network_h5ad
from scgx.cells.perturbations import Perturbation, screen_of
from scgx.errors import DataError
from scgx.h5ad import writer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.measured import Measured, write_measured
from scgx.h5ad.reader import open_cells
from scgx.learn import pairs
from scgx.learn.pairs import Paired, Wanted

N = 1200


def atlas(path: Path, *, order: np.ndarray | None = None, unmeasured: tuple[int, ...] = ()) -> Path:
    """Cells of a known network that nobody perturbed; two datasets, of which one lacks some genes."""
    plan = network.Plan(cells=N, genes=60, perturbations=6, doubles=0, controls=0.9, seed=2)
    world = network.plan_world(plan)
    counts = sparse.vstack([block.counts for block in network.draw(world)]).toarray()
    keep = np.flatnonzero(world.cells.condition == 0)
    order = np.arange(len(keep)) if order is None else order[order < len(keep)]
    keep = keep[order]
    kinds = [f"type{code}" for code in world.cells.cell_type[keep]]
    source = np.array(["d1", "d2"])[world.cells.donor[keep] % 2]
    x = counts[keep]
    x[np.ix_(source == "d2", list(unmeasured))] = 0
    measured = np.ones((60, 2), dtype=bool)
    measured[list(unmeasured), 1] = False
    with writer.create(path) as out:
        with out.matrix("X", 60, np.float32) as append:
            append(sparse.csr_array(x))
        columns = {"cell_type": categorical(kinds), "dataset_id": categorical(source.tolist())}
        out.frame("obs", Frame(world.cells.names[keep], columns))
        out.frame("var", Frame(world.genes.ids))
        write_measured(
            out, Measured(measured, np.array(["d1", "d2"]), np.zeros(len(x), int), "dataset_id")
        )
    return path


def paired(path: Path, **wanted: int) -> tuple[Paired, np.ndarray]:
    """The pairs of a file and its values."""
    with open_cells(path) as cells:
        made = pairs.pair(cells, pairs.within(cells.obs, []), Wanted(**{"genes": 20, **wanted}))
        x = sparse.vstack([b.X for b in cells.blocks()]).toarray()
        return made, np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))


def test_partners_agree_and_each_cell_is_used_once(tmp_path: Path) -> None:
    made, _ = paired(atlas(tmp_path / "a.h5ad"))
    obs, screen = made.obs, screen_of(made.obs)
    second = ~screen.control
    place = {name: i for i, name in enumerate(obs.index)}
    first = [place[name] for name in obs.strings("scgx_control")[second]]
    assert len(set(first)) == len(first) == int(second.sum()) == len(obs) // 2
    assert screen.control[first].all()
    for column in ("cell_type", "dataset_id"):
        words = obs.strings(column)
        assert (words[second] == words[first]).all()
    assert (np.diff(made.rows) > 0).all() and (np.diff(made.columns) > 0).all()


def test_the_gene_of_a_label_differs_the_way_it_says(tmp_path: Path) -> None:
    path = atlas(tmp_path / "a.h5ad")
    made, x = paired(path)
    screen = screen_of(made.obs)
    with open_cells(path) as cells:
        gene = {name: i for i, name in enumerate(cells.var_names)}
    place = {name: i for i, name in enumerate(made.obs.index)}
    source = made.obs.strings("scgx_control")
    signs = set()
    for i in np.flatnonzero(~screen.control):
        one: Perturbation = screen.conditions[screen.codes[i]]
        at = gene[one.targets[0]]
        assert at in made.columns
        apart = x[made.rows[i], at] - x[made.rows[place[source[i]]], at]
        assert np.sign(apart) == one.doses[0]
        signs.add(one.doses[0])
    assert signs == {1.0, -1.0}
    assert len(screen.conditions) > 30  # all genes are used, not the most extreme one


def test_genes_that_a_dataset_did_not_measure_label_none_of_its_cells(tmp_path: Path) -> None:
    with_all, _ = paired(atlas(tmp_path / "a.h5ad"), genes=40)
    lost = tuple(int(c) for c in with_all.columns[:8])
    made, _ = paired(atlas(tmp_path / "b.h5ad", unmeasured=lost), genes=60)
    screen = screen_of(made.obs)
    with open_cells(tmp_path / "b.h5ad") as cells:
        gone = set(cells.var_names[list(lost)])
    source = made.obs.strings("dataset_id")
    used = {"d1": set(), "d2": set()}
    for i in np.flatnonzero(~screen.control):
        used[source[i]] |= set(screen.conditions[screen.codes[i]].targets)
    assert not used["d2"] & gone
    assert used["d1"] & gone
    few, _ = paired(tmp_path / "b.h5ad", genes=20)
    assert len(set(few.columns) & set(lost)) < len(set(with_all.columns[:20]) & set(lost))


def test_the_same_cells_in_another_order_are_the_same_pairs(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(0).permutation(N)
    a, _ = paired(atlas(tmp_path / "a.h5ad"))
    b, _ = paired(atlas(tmp_path / "b.h5ad", order=shuffled))
    tables = [
        dict(
            zip(
                made.obs.index,
                zip(made.obs.strings("perturbation"), made.obs.strings("scgx_control")),
            )
        )
        for made in (a, b)
    ]
    assert tables[0] == tables[1]
    other, _ = paired(tmp_path / "a.h5ad", seed=1)
    assert other.obs.strings("perturbation").tolist() != a.obs.strings("perturbation").tolist()


def test_what_goes_together_in_cells_is_what_is_learned(tmp_path: Path) -> None:
    made, x = paired(atlas(tmp_path / "a.h5ad"), genes=60)
    screen = screen_of(made.obs)
    assert made.totals is not None and (made.totals > 0).all()
    cells = x[made.rows]
    r = []
    with open_cells(tmp_path / "a.h5ad") as file:
        gene = {name: i for i, name in enumerate(file.var_names)}
    for code, one in enumerate(screen.conditions[1:], 1):
        mine = screen.codes == code
        if mine.sum() < 8:
            continue
        change = one.doses[0] * (cells[mine].mean(axis=0) - cells[screen.control].mean(axis=0))
        together = np.cov(cells.T)[gene[one.targets[0]]]
        others = np.arange(60) != gene[one.targets[0]]
        r.append(np.corrcoef(change[others], together[others])[0, 1])
    assert np.mean(r) > 0.15


def test_a_screen_and_a_file_without_groups_are_refused(tmp_path: Path) -> None:
    plan = network.Plan(cells=200, genes=20, perturbations=3, doubles=0)
    network_h5ad.write(tmp_path / "screen.h5ad", plan)
    with open_cells(tmp_path / "screen.h5ad") as cells:
        with pytest.raises(DataError, match="that is a screen"):
            pairs.pair(cells, ["cell_type"], Wanted())
        with pytest.raises(DataError, match="did you mean 'cell_type'"):
            pairs.within(cells.obs, ["cell_typ"])
        with pytest.raises(DataError, match="which cells compare"):
            pairs.within(cells.obs.without(["cell_type", "donor", "batch"]), [])


def test_counts_that_lie_in_raw_alone_are_refused_and_normalize_mends_it(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    x = np.random.default_rng(0).poisson(3, (40, 12)).astype(np.float32)
    cells = anndata.AnnData((x - x.mean(axis=0)) / x.std(axis=0))
    cells.obs_names = [f"c{i}" for i in range(40)]
    cells.obs["cell_type"] = ["T", "B"] * 20
    cells.raw = anndata.AnnData(x, obs=cells.obs, var=cells.var)
    cells.write_h5ad(tmp_path / "raw.h5ad")
    with open_cells(tmp_path / "raw.h5ad") as opened:
        with pytest.raises(DataError, match="only raw has counts"):
            pairs.pair(opened, ["cell_type"], Wanted())
    scgx.normalize(str(tmp_path / "raw.h5ad"), str(tmp_path / "x.h5ad"), quiet=True)
    with open_cells(tmp_path / "x.h5ad") as opened:
        assert len(pairs.pair(opened, ["cell_type"], Wanted(genes=5)).columns) == 5
