"""Cells from a known network: the equation holds, the truth is what the cells show, bytes repeat."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.cells import network, network_h5ad
from scgx.cells.network import Plan, World
from scgx.cells.normalize import log1p_cp10k
from scgx.cells.perturbations import screen_of
from scgx.errors import MachineError, UsageError
from scgx.h5ad.reader import open_cells

SMALL = Plan(cells=1100, genes=60, perturbations=6, doubles=3, seed=3)


def plan(**changes: object) -> Plan:
    return Plan(**{**vars(SMALL), **changes})


@pytest.fixture(scope="module")
def world() -> World:
    return network.plan_world(SMALL)


def noise_of(world: World) -> np.ndarray:
    """What is left of the levels when the equation is subtracted, of untouched genes of controls."""
    level = np.concatenate([block.level for block in network.draw(world, counted=False)])
    control = world.cells.condition == 0
    rest = level - level @ world.network.toarray() - world.type_shift[world.cells.cell_type]
    return rest[control]


def test_levels_of_a_linear_network_are_wx_plus_b_plus_gaussian_noise(world: World) -> None:
    left = noise_of(world) / world.deviation
    assert abs(left.mean()) < 0.02
    assert abs(left.std() - 1) < 0.02
    assert abs((left**4).mean() - 3) < 0.15
    r = np.corrcoef(left.T)[np.triu_indices(60, 1)]
    assert np.abs(r).mean() < 0.07


def test_no_gene_regulates_itself_and_the_network_has_one_steady_state(world: World) -> None:
    graph = world.network.toarray()
    assert not graph.diagonal().any()
    among = graph[np.ix_(world.places, world.places)]
    assert np.abs(np.linalg.eigvals(among)).max() < 1
    assert np.abs(among).sum(axis=0).max() <= network.CONTRACTION + 1e-6
    assert set(np.flatnonzero(np.abs(graph).sum(axis=1))) <= set(world.places)


def test_the_steady_state_solves_the_linear_equation(world: World) -> None:
    codes = np.arange(len(world.conditions))
    drive = np.tile(world.type_shift[0][:, None], (1, len(codes)))
    shift, held = network.done(world, codes)
    found = network.steady(world, drive, shift, held)
    pushed = drive.copy()
    pushed[world.places] += shift
    exact = np.linalg.solve(np.eye(60) - world.network.toarray().T.astype(float), pushed)
    assert np.allclose(found, exact, atol=1e-5)


def test_doubles_add_up_in_the_linear_network_and_not_in_the_other() -> None:
    for kind, adds in (("linear", True), ("nonlinear", False)):
        made = network.plan_world(plan(kind=kind))
        level, _ = network.truth(made)
        names = [one.label for one in made.conditions[1:]]
        for i, name in enumerate(names):
            if "+" in name:
                parts = sum(level[names.index(part)] for part in name.split("+"))
                assert np.allclose(level[i], parts, atol=1e-5) == adds


@pytest.mark.parametrize("effect", list(network.EFFECTS))
def test_a_target_goes_where_the_effect_says(effect: str) -> None:
    made = network.plan_world(plan(effect=effect))
    level, change = network.truth(made)
    for i, one in enumerate(made.conditions[1:]):
        for target in one.targets:
            at = made.genes.names.tolist().index(target)
            assert np.sign(change[i, at]) == np.sign(network.EFFECTS[effect])
            if effect == "knock-out":
                own = made.type_share @ made.type_shift[:, at]
                assert level[i, at] < network.EFFECTS[effect] - own + 2


@pytest.mark.parametrize("kind", network.KINDS)
def test_cells_show_the_truth(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    network_h5ad.write(path, plan(kind=kind, cells=6000, cell_types=1, depth=20000, dropout=0))
    with open_cells(path) as cells:
        x = log1p_cp10k(sparse.vstack([b.X for b in cells.blocks()]).tocsr()).toarray()
        labels = cells.obs.strings("perturbation")
        change = cells.h5["uns/truth/change"][()]
        names = cells.h5["uns/truth/perturbations"].asstr()[()]
    rest = x[labels == "control"].mean(axis=0)
    for name, true in zip(names, change, strict=True):
        r = np.corrcoef(x[labels == name].mean(axis=0) - rest, true)[0, 1]
        assert r > (0.95 if kind == "linear" else 0.8), name


def test_a_file_says_all_of_it_and_is_a_screen(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    network_h5ad.write(path, SMALL)
    with open_cells(path) as cells:
        screen = screen_of(cells.obs, genes=cells.var_names)
        assert screen.column == "perturbation" and screen.renamed == 0
        assert len(screen.conditions) == 10
        assert abs(screen.control.mean() - 0.2) < 0.01
        sizes = np.bincount(screen.codes)[1:]
        assert sizes.max() - sizes.min() <= 3
        assert set(cells.obs.columns) == {"perturbation", "cell_type", "donor", "batch"}
        assert cells.var["regulator"].sum() == 6
        assert {w for one in screen.conditions for w in one.targets} <= set(cells.var["gene_name"])
        assert tuple(cells.h5["varp/network"].attrs["shape"]) == (60, 60)
        truth = cells.h5["uns/truth"]
        assert truth["change"].shape == truth["level"].shape == (9, 60)
        assert truth["noise"][()] == 0.3
        assert cells.scgx["units"] == {"X": {"rna": "counts"}}


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        network_h5ad.write(tmp_path / name, plan(seed=seed), keep_history=False)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] != made[2]


def test_fewer_cells_are_the_first_of_more(world: World) -> None:
    few = network.plan_world(plan(cells=700))
    first = sparse.vstack([block.counts for block in network.draw(few)]).toarray()
    whole = sparse.vstack([block.counts for block in network.draw(world)]).toarray()
    assert (whole[:700] == first).all()
    assert (world.cells.condition[:700] == few.cells.condition).all()


def test_dropout_loses_that_share_of_what_would_be_seen() -> None:
    none, some = (
        sparse.vstack([b.counts for b in network.draw(network.plan_world(plan(dropout=share)))])
        for share in (0.0, 0.4)
    )
    assert abs(1 - some.nnz / none.nnz - 0.4) < 0.02


def test_without_counting_the_values_are_rates_in_log1p_cp10k(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    network_h5ad.write(path, SMALL, units="log1p-cp10k")
    with open_cells(path) as cells:
        assert cells.scgx["units"] == {"X": {"rna": "log1p-cp10k"}}
        block = next(cells.blocks()).X
        assert np.allclose(np.expm1(block.toarray()).sum(axis=1), 1e4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"perturbations": 61}, "61 perturbations of 60 genes"),
        ({"doubles": 16}, "make 15 pairs"),
        ({"cells": 40}, "under 5 for each"),
        ({"controls": 0.0}, "--controls"),
        ({"dropout": 1.0}, "--dropout"),
        ({"effect": "knock"}, "no effect"),
        ({"kind": "cubic"}, "no kind"),
        ({"noise": -1.0}, "--noise"),
        ({"noise": float("nan")}, "--noise nan"),
        ({"noise": float("inf")}, "--noise inf"),
        ({"depth": float("nan")}, "--depth nan"),
        ({"depth": float("inf")}, "--depth inf"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        network_h5ad.check(plan(**changes), "counts")


def test_a_screen_that_no_memory_holds_names_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_plan: object) -> None:
        raise MemoryError

    monkeypatch.setattr(network, "plan_world", full)
    with pytest.raises(MachineError, match="memory to plan 6,000 cells"):
        network_h5ad.write(tmp_path / "s.h5ad", plan(cells=6000))
    assert not (tmp_path / "s.h5ad").exists()
