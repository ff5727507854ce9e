"""Rows, parts and values that a model is given."""

import json

import anndata
import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.reader import open_cells
from scgx.learn.order import RUN, plan
from scgx.learn.parts import for_training, parts_of
from scgx.learn.train import Roles, gather

N, GENES, PEAKS = 200, 12, 30


@pytest.fixture
def paired(tmp_path):
    draw = np.random.default_rng(1)
    rna = draw.poisson(1.5, (N, GENES)).astype(np.float32)
    atac = draw.poisson(0.3, (N, PEAKS)).astype(np.float32)
    X = sparse.csr_matrix(np.hstack([rna, atac]))
    cells = anndata.AnnData(X)
    cells.obs_names = [f"c{i}" for i in range(N)]
    cells.var_names = [f"g{i}" for i in range(GENES)] + [f"chr1:{i}-{i + 1}" for i in range(PEAKS)]
    cells.var["feature_types"] = ["Gene Expression"] * GENES + ["Peaks"] * PEAKS
    cells.obs["split"] = np.repeat(["train", "val", "test"], [120, 40, 40])
    cells.uns["scgx"] = {"split": json.dumps({"id": "abc", "by": "donor"})}
    path = tmp_path / "p.h5ad"
    cells.write_h5ad(path)
    return path, rna, atac


def test_values_come_in_canonical_units(paired):
    path, rna, atac = paired
    with open_cells(path) as cells:
        data = gather(cells, Roles("atac", "rna"), for_training(cells, 0))
        rows = np.array([5, 3, 199])
        scaled = np.log1p(rna / np.maximum(rna.sum(1, keepdims=True), 1) * 1e4)
        assert (data.x(rows).toarray() == (atac[rows] > 0)).all()
        np.testing.assert_allclose(data.y(rows).toarray(), scaled[rows], rtol=1e-6)
        assert (data.y_counts(rows).toarray() == rna[rows]).all()
        assert (data.y_totals(rows) == rna[rows].sum(1)).all()
        assert len(data.train) == 120 and len(data.val) == 40


def test_disk_and_memory_give_the_same_batches(paired):
    path, _rna, _atac = paired
    seen = []
    for memory in (1 << 30, 1 << 14):
        with open_cells(path, memory=1 << 30) as cells:
            cells.memory = memory
            data = gather(cells, Roles("atac", "rna"), for_training(cells, 0))
            seen.append(list(data.batches(data.train, 50, seed=3, epoch=1)))
            assert bool(data._cache) == (memory == 1 << 30)
    for a, b in zip(*seen, strict=True):
        assert (a.rows == b.rows).all() and (a.x != b.x).nnz == 0 and (a.y != b.y).nnz == 0


def test_every_row_is_visited_once_and_epochs_differ():
    rows = np.arange(5, 1005)
    first, second = plan(rows, 0, 0), plan(rows, 0, 1)
    assert sorted(first) == rows.tolist() == sorted(second)
    assert (first != second).any() and (plan(rows, 0, 0) == first).all()
    assert (plan(rows, 0, 0, shuffle=False) == rows).all()
    assert np.abs(np.diff(first)).max() > RUN


def test_missing_targets_are_refused_or_weighed(paired, tmp_path):
    path, _rna, _atac = paired
    cells = anndata.read_h5ad(path)
    dense = cells.X.toarray()
    dense[3, 2] = np.nan
    cells.X = dense
    cells.uns["scgx"]["units"] = {"X": {"rna": "counts", "atac": "counts"}}
    cells.write_h5ad(tmp_path / "na.h5ad")
    with open_cells(tmp_path / "na.h5ad") as cells:
        parts = for_training(cells, 0)
        with pytest.raises(DataError, match="missing or infinite"):
            gather(cells, Roles("atac", "rna"), parts).y(np.array([3]))
        data = gather(cells, Roles("atac", "rna", na=0.0), parts)
        weight = data.weight(np.array([2, 3]))
        assert weight[1, 2] == 0 and weight.sum() == 2 * GENES - 1
        assert np.isfinite(data.y(np.array([3])).toarray()).all()


def test_a_file_without_split_trains_on_all_and_validates_on_a_tenth(paired, tmp_path, capsys):
    cells = anndata.read_h5ad(paired[0])
    del cells.obs["split"]
    cells.write_h5ad(tmp_path / "n.h5ad")
    with open_cells(tmp_path / "n.h5ad") as cells:
        assert parts_of(cells) is None
        parts = for_training(cells, 0)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (180, 20, 0)
    assert "no split" in capsys.readouterr().err
