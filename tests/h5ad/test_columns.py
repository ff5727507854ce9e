"""Columns taken from a CSR matrix on disk are those that scipy takes."""

import h5py
import numpy as np
import pytest
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad import columns as subject
from scgx.h5ad.columns import csr_columns
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.totals import Totals

N, WIDTH = 300, 200
DRAW = np.random.default_rng(5)
CHOICES = {
    "none": np.arange(0),
    "all": np.arange(WIDTH),
    "the first": np.arange(0, 30),
    "the last": np.arange(170, WIDTH),
    "in the middle": np.arange(50, 60),
    "two runs": np.r_[0:5, 190:WIDTH],
    "many runs": np.arange(0, WIDTH, 3),
    "another order": DRAW.permutation(WIDTH)[:40],
    "all in another order": DRAW.permutation(WIDTH),
}


def stored(path, *, index="i4", value="f4"):
    """A matrix with empty rows, in rows that are sorted, on disk; and in memory."""
    dense = (DRAW.random((N, WIDTH)) < 0.1) * DRAW.integers(1, 9, (N, WIDTH))
    dense[[0, 7, 8, N - 1]] = 0
    matrix = sparse.csr_array(dense.astype(value))
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "shape": matrix.shape})
        group.create_dataset("data", data=matrix.data, chunks=(100,))
        group.create_dataset("indices", data=matrix.indices.astype(index), chunks=(100,))
        group.create_dataset("indptr", data=matrix.indptr)
    return matrix


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("index", "value"), [("i4", "f4"), ("i8", "i2"), ("u2", "f8")])
def test_every_choice_of_columns_is_what_scipy_takes(tmp_path, monkeypatch, choice, index, value):
    monkeypatch.setattr(subject, "_SLAB", 64)
    expected = stored(tmp_path / "f.h5", index=index, value=value)
    chosen = CHOICES[choice]
    totals = Totals(N, {"rna": np.ones(WIDTH, bool), "atac": np.arange(WIDTH) < 20})
    with h5py.File(tmp_path / "f.h5") as file:
        rows = list(csr_columns(Matrix(file["X"], (N, WIDTH), "X"), chosen, totals))
        again = list(csr_columns(Matrix(file["X"], (N, WIDTH), "X"), chosen))
    for parts in (rows, again):
        indptr = np.r_[0, np.cumsum(np.concatenate([part.lengths for part in parts]))]
        data, indices = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices")
        )
        found = sparse.csr_array((data, indices, indptr), shape=(N, len(chosen)))
        assert found.has_canonical_format and data.dtype == value
        np.testing.assert_array_equal(found.toarray(), expected.toarray()[:, chosen])
    np.testing.assert_array_equal(totals.sums["rna"], expected.sum(axis=1))
    np.testing.assert_array_equal(totals.sums["atac"], expected[:, :20].sum(axis=1))


@pytest.mark.parametrize("bad", [-1, WIDTH])
def test_an_index_outside_is_refused_before_it_is_used(tmp_path, bad):
    stored(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["X/indices"][777] = bad
    with (
        h5py.File(tmp_path / "f.h5") as file,
        pytest.raises(InputError, match="reach outside"),
    ):
        list(csr_columns(Matrix(file["X"], (N, WIDTH), "X"), np.arange(3)))
