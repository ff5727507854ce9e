"""Thinned halves: a partition of the counts, the same for any order of the file."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create
from scgx.tasks._conversion import from_counts
from scgx.tasks._pairing import Pairing
from scgx.tasks._replicate import SEEDS, counts_of, halves, stored_scale


def write(
    path: Path, counts: np.ndarray, order: np.ndarray, totals: np.ndarray | None = None
) -> Path:
    obs = Frame(np.array([f"c{i:03d}" for i in order], dtype=object))
    if totals is not None:
        obs = obs.with_column("total_counts_rna", totals[order])
    with create(path) as out:
        out.frame("obs", obs)
        names = np.array([f"g{i:02d}" for i in range(counts.shape[1])], dtype=object)
        kinds = categorical(["Gene Expression"] * len(names))
        out.frame("var", Frame(names, {"feature_types": kinds}))
        with out.matrix("X", counts.shape[1], np.float32) as append:
            append(sparse.csr_array(counts[order].astype(np.float32)))
    return path


def pairing(order: np.ndarray, features: int) -> Pairing:
    rows = np.argsort(order)
    names = np.array([f"c{i:03d}" for i in range(len(order))], dtype=object)
    return Pairing(rows, names, np.arange(features), "rna", (), 0, ())


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, (60, 8))


def test_two_halves_add_up_to_the_whole(tmp_path, counts):
    order = np.random.default_rng(1).permutation(60)
    with open_cells(write(tmp_path / "a.h5ad", counts, order)) as cells:
        held = counts_of(cells, "X", pairing(order, 8))
    pairs = list(halves(held, from_counts("counts"), seed=0))
    assert len(pairs) == SEEDS
    everything = slice(0, 8)
    for one, other in pairs:
        np.testing.assert_array_equal(one.panel(everything) + other.panel(everything), counts)
    first, second = (pair[0].panel(everything) for pair in pairs[:2])
    assert (first != second).any()
    assert first.sum() / counts.sum() == pytest.approx(0.5, abs=0.05)


def test_the_order_of_the_file_does_not_matter(tmp_path, counts):
    made = []
    for name in range(2):
        order = np.random.default_rng(name).permutation(60)
        with open_cells(write(tmp_path / f"{name}.h5ad", counts, order)) as cells:
            held = counts_of(cells, "X", pairing(order, 8))
        made.append(next(iter(halves(held, from_counts("log1p-cp10k"), seed=3)))[0])
    np.testing.assert_array_equal(made[0].panel(slice(0, 8)), made[1].panel(slice(0, 8)))


def test_a_recorded_total_is_thinned_too(tmp_path, counts):
    totals = counts.sum(axis=1) + 1000.0
    order = np.arange(60)
    with open_cells(write(tmp_path / "a.h5ad", counts, order, totals)) as cells:
        held = counts_of(cells, "X", pairing(order, 8))
    one, _ = next(iter(halves(held, from_counts("log1p-cp10k"), seed=0)))
    largest = np.expm1(one.panel(slice(0, 8))).sum(axis=1)
    assert (largest < 1e4 * 0.1).all()


def test_values_that_are_not_whole_have_no_replicate(tmp_path, counts):
    with open_cells(write(tmp_path / "a.h5ad", counts + 0.5, np.arange(60))) as cells:
        assert counts_of(cells, "X", pairing(np.arange(60), 8)) is None


@pytest.mark.parametrize("factor", [1.0, 50.0])
def test_a_replicate_is_on_the_scale_of_the_stored_values(tmp_path, counts, factor):
    order = np.random.default_rng(2).permutation(60)
    sums = counts.sum(axis=1)
    linear = counts / (sums[:, None] * factor) * 1e4
    with open_cells(write(tmp_path / "counts.h5ad", counts, order)) as cells:
        held = counts_of(cells, "X", pairing(order, 8))
    with open_cells(write(tmp_path / "stored.h5ad", np.log1p(linear), order)) as cells:
        scale = stored_scale(cells, "X", held, pairing(order, 8))
    np.testing.assert_allclose(scale, factor, rtol=1e-5)
    one, other = next(iter(halves(held._replace(scale=scale), from_counts("log1p-cp10k"), seed=0)))
    for half in (one, other):
        np.testing.assert_allclose(
            np.expm1(half.panel(slice(0, 8))).sum(1), 1e4 / factor, rtol=1e-4
        )
