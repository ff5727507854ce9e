"""Copies of training cells as other studies would have seen them."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.reader import open_cells
from scgx.learn.augment import Augment
from scgx.learn.fit_labels import LabelRoles, gather

GENES = 40


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix(rng.poisson(4.0, (300, GENES)).astype(np.float32))
    cells = anndata.AnnData(x)
    cells.obs_names = [f"c{i}" for i in range(300)]
    cells.obs["kind"] = ["a", "b"] * 150
    cells.write_h5ad(tmp_path / "counts.h5ad")
    return tmp_path / "counts.h5ad"


def block(rows: int, mean: float) -> sparse.csr_array:
    rng = np.random.default_rng(1)
    return sparse.csr_array(rng.poisson(mean, (rows, GENES)).astype(np.float32))


def test_thinning_keeps_the_distribution_of_counts():
    even = Augment(copies=1, least=0.5, spread=0.0)
    rows = np.arange(4_000)
    made = even.thinned(block(4_000, 20.0), rows, 1).toarray()
    depth = np.array(
        [np.exp(np.random.default_rng([0, 1, 2, row]).uniform(np.log(0.5), 0)) for row in rows]
    )
    expected = 20.0 * depth[:, None]
    assert made.mean() == pytest.approx(expected.mean(), rel=0.01)
    spread = (made - expected) ** 2 / expected  # one, where counts are still Poisson
    assert spread.mean() == pytest.approx(1, abs=0.02)


def test_a_copy_is_dealt_to_sixteen_studies_that_no_other_copy_has():
    augment = Augment(copies=2)
    rows = np.arange(100)
    assert set(augment.study(np.zeros(100, int), rows)) == {0}
    assert set(augment.study(np.ones(100, int), rows)) == set(range(1, 17))
    assert set(augment.study(np.full(100, 2), rows)) == set(range(17, 33))


def test_a_study_has_its_own_efficiencies_and_never_more_counts():
    augment = Augment(copies=2)
    before = block(50, 10.0)
    first, second = (augment.thinned(before, np.arange(50), study) for study in (1, 2))
    assert (first.toarray() <= before.toarray()).all()
    assert (first != second).nnz
    assert not np.allclose(augment.efficiency(1, GENES), augment.efficiency(2, GENES))
    assert augment.efficiency(1, GENES).max() == 1


def test_a_row_becomes_the_same_whichever_rows_are_beside_it():
    augment = Augment(copies=1)
    before = block(50, 10.0)
    whole = augment.thinned(before, np.arange(50), 1)
    alone = augment.thinned(before[[7]], np.array([7]), 1)
    np.testing.assert_array_equal(whole[[7]].toarray(), alone.toarray())


def test_only_training_cells_have_copies_and_the_first_is_the_cell_itself(counts: Path):
    with open_cells(counts) as cells:
        plain, _ = gather(cells, LabelRoles("kind"), seed=0)
        data, _ = gather(cells, LabelRoles("kind", augment=3), seed=0)
        assert len(data.train) == 4 * len(plain.train)
        np.testing.assert_array_equal(data.val, plain.val)
        assert set(data.train % 300) == set(plain.train)
        np.testing.assert_array_equal(data.cells_train, plain.train)
        np.testing.assert_array_equal(data.y(data.train), np.tile(plain.y(plain.train), 4))
        first = data.x(data.train[: len(plain.train)])
        np.testing.assert_array_equal(first.toarray(), plain.x(plain.train).toarray())
        np.testing.assert_array_equal(data.class_weights, plain.class_weights)


def test_copies_are_the_same_read_from_disk_or_held(counts: Path):
    with open_cells(counts) as cells:
        data, _ = gather(cells, LabelRoles("kind", augment=2), seed=0)
        assert data.held is not None
        rows = data.train[np.random.default_rng(0).permutation(len(data.train))]
        np.testing.assert_array_equal(data.held[rows].toarray(), data._read(rows).toarray())


def test_some_copies_alone_can_train(counts: Path):
    with open_cells(counts) as cells:
        data, _ = gather(cells, LabelRoles("kind", augment=3), seed=0)
        few = data.with_copies([2])
        n = len(data.cells_train)
        np.testing.assert_array_equal(few.train[n:], data.cells_train + 2 * 300)
        assert len(few.train) == 2 * n
        assert len(data.train) == 4 * n
        assert few.moments is not data.moments


def test_a_study_lacks_some_features_and_its_depth_is_of_the_others(counts: Path):
    augment = Augment(copies=1, hidden=0.9, seed=2)
    with open_cells(counts) as cells:
        data, _ = gather(cells, LabelRoles("kind"), seed=0)
        rows = np.arange(100)
        x = augment.x(data.lens, data.lens.raw(cells, rows), rows, 1)
    shown = augment.shows(1, GENES)
    assert 0 < shown.sum() < GENES
    assert x[:, ~shown].nnz == 0
    share = data.lens.panel.share[shown].sum()
    np.testing.assert_allclose(np.expm1(x.toarray()).sum(axis=1), 1e4 * share, rtol=1e-4)


def test_without_counts_there_is_nothing_to_thin(counts: Path, tmp_path: Path):
    cells = anndata.read_h5ad(counts)
    cells.X = sparse.csr_matrix(np.log1p(cells.X.toarray() / cells.X.sum(1) * 1e4))
    cells.write_h5ad(tmp_path / "log.h5ad")
    with (
        open_cells(tmp_path / "log.h5ad") as logged,
        pytest.raises(DataError, match="thins counts"),
    ):
        gather(logged, LabelRoles("kind", augment=1), seed=0)
