"""Same cells, same answer: storage, zeros, order and block size change nothing (A23, P1, P10, P11).

What one file says, its rewritings say: CSR, CSC, dense in both orders of memory, chunked, packed, zeros
stored, wide indices. `filter-chrom` keeps the same content and `predict` gives the same bits.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse
from support import files
from support.processes import Zygote

Rewrite = Callable[[h5py.File, sparse.csr_matrix], None]


def stored(convert: Callable[[sparse.csr_matrix], object], **options: object) -> Rewrite:
    """X converted, and written with options of h5py."""

    def rewrite(file: h5py.File, X: sparse.csr_matrix) -> None:
        del file["X"]
        files.matrix(file, "X", convert(X), **options)

    return rewrite


def with_zeros(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """A third of the zeros stored."""
    dense = X.toarray()
    keep = (dense != 0) | (np.arange(dense.size).reshape(dense.shape) % 3 == 0)
    indptr = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
    return sparse.csr_matrix((dense[keep], np.nonzero(keep)[1], indptr), shape=dense.shape)


def unsorted(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Entries of each row from last to first."""
    X = X.copy()
    for lo, hi in zip(X.indptr[:-1], X.indptr[1:]):
        X.indices[lo:hi], X.data[lo:hi] = X.indices[lo:hi][::-1].copy(), X.data[lo:hi][::-1].copy()
    return X


def wide(file: h5py.File, X: sparse.csr_matrix) -> None:
    for part in ("indices", "indptr"):
        values = file["X"][part][()].astype(np.int64)
        del file["X"][part]
        file["X"][part] = values


STORED: dict[str, Rewrite] = {
    "csc": stored(lambda X: X.tocsc()),
    "dense": stored(lambda X: X.toarray()),
    "dense of float64": stored(lambda X: X.toarray().astype(np.float64)),
    "dense, packed, in odd chunks": stored(
        lambda X: X.toarray(), chunks=(7, 5), compression="gzip"
    ),
    "csr of int32, packed": stored(lambda X: X.astype(np.int32), compression="gzip", shuffle=True),
    "zeros stored": stored(with_zeros),
    "csr unsorted": stored(unsorted),
    "csc with zeros": stored(lambda X: with_zeros(X.T.tocsr()).T.tocsc()),
    "64-bit indices": wide,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.multiome(tmp_path_factory.mktemp("whole") / "whole.h5ad")


@pytest.fixture(scope="module")
def model(whole: Path, forked: Zygote) -> Path:
    """A ridge from peaks to genes."""
    made = whole.with_name("ridge.scgx")
    words = ["train", "ridge", whole, "--from", "atac", "--to", "rna", "-o", made, "-q"]
    ended = forked(*words, "--set", "rank=10", "--set", "penalty=0.1")
    assert ended.code == 0, ended.err
    return made


def read(path: Path) -> h5py.File:
    return h5py.File(path, "r")


def dense(path: Path) -> np.ndarray:
    """X, whatever it is stored as."""
    with read(path) as file:
        item = file["X"]
        if isinstance(item, h5py.Dataset):
            return item[()]
        parts = tuple(item[part][()] for part in ("data", "indices", "indptr"))
        made = {b"csr": sparse.csr_matrix, b"csc": sparse.csc_matrix}
        kind = str(item.attrs["encoding-type"])[:3].encode()
        return made[kind](parts, shape=tuple(item.attrs["shape"])).toarray()


def names(path: Path, axis: str) -> list[str]:
    with read(path) as file:
        return [name.decode() for name in file[axis][file[axis].attrs["_index"]][()]]


def rewritten(whole: Path, path: Path, rewrite: Rewrite) -> Path:
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        parts = tuple(file["X"][part][()] for part in ("data", "indices", "indptr"))
        rewrite(file, sparse.csr_matrix(parts, shape=tuple(file["X"].attrs["shape"])))
    return path


@pytest.fixture(scope="module")
def answer(whole: Path, model: Path, forked: Zygote) -> np.ndarray:
    out = whole.with_name("answer.h5ad")
    ended = forked("predict", model, whole, "-o", out, "-q")
    assert ended.code == 0, ended.err
    values = dense(out)
    assert np.isfinite(values).all() and values.std() > 0.01
    return values


@pytest.mark.parametrize("kind", STORED)
def test_storage_changes_no_bit(
    kind: str, whole: Path, model: Path, answer: np.ndarray, forked: Zygote, tmp_path: Path
) -> None:
    other = rewritten(whole, tmp_path / "other.h5ad", STORED[kind])
    out, guess = tmp_path / "out.h5ad", tmp_path / "guess.h5ad"
    ended = forked("filter-chrom", "X", other, "-o", out, "-q", "--memory", "16M")
    assert ended.code == 0, ended.err
    keep = np.arange(45) % 3 == 0
    assert names(out, "var") == [n for n, k in zip(names(whole, "var"), keep) if k]
    assert np.array_equal(dense(out), dense(whole)[:, keep])
    ended = forked("predict", model, other, "-o", guess, "-q")
    assert ended.code == 0, ended.err
    assert np.array_equal(dense(guess), answer)


def test_memory_changes_no_bit(
    whole: Path, model: Path, answer: np.ndarray, forked: Zygote, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5ad"
    made = []
    for memory in ("16M", "100M", "4G"):
        assert forked("predict", model, whole, "-o", out, "--memory", memory).code == 0
        assert np.array_equal(dense(out), answer)
        words = ["filter-chrom", "chr1", whole, "-o", out, "--no-history", "--memory", memory]
        assert forked(*words).code == 0
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]


def permuted(whole: Path, path: Path, rows: np.ndarray, columns: np.ndarray) -> Path:
    """The same cells and features in another order."""
    X = sparse.csr_matrix(dense(whole))[rows][:, columns]
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        stored(lambda _: X)(file, X)
        for axis, order in (("obs", rows), ("var", columns)):
            for item in file[axis].values():
                item = item["codes"] if isinstance(item, h5py.Group) else item
                item[...] = item[()][order]
    return path


@pytest.mark.parametrize("axis", ["cells", "features"])
def test_order_changes_no_bit(
    axis: str, whole: Path, model: Path, answer: np.ndarray, forked: Zygote, tmp_path: Path
) -> None:
    draw = np.random.default_rng(5)
    rows, columns = np.arange(80), np.arange(45)
    (rows if axis == "cells" else columns)[:] = draw.permutation(80 if axis == "cells" else 45)
    other = permuted(whole, tmp_path / "other.h5ad", rows, columns)
    out, guess = tmp_path / "out.h5ad", tmp_path / "guess.h5ad"
    assert forked("predict", model, other, "-o", guess, "-q").code == 0
    assert names(guess, "obs") == [names(whole, "obs")[i] for i in rows]
    assert np.array_equal(dense(guess), answer[rows])
    assert forked("filter-chrom", "X", other, "-o", out, "-q").code == 0
    keep = [int(c) for c in columns if c % 3 == 0]
    assert np.array_equal(dense(out), dense(whole)[rows][:, keep])


def test_a_cell_is_answered_alike_alone(
    whole: Path, model: Path, answer: np.ndarray, forked: Zygote, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.h5ad"
    names_ = names(whole, "var")
    types = ["Gene Expression"] * 15 + ["Peaks"] * 30
    files.cells(alone, sparse.csr_matrix(dense(whole)[7:8]), obs=["cell7"], var=names_)
    with h5py.File(alone, "r+") as file:
        del file["var/feature_types"]
        files.text(file["var"], "feature_types", types)
    out = tmp_path / "out.h5ad"
    ended = forked("predict", model, alone, "-o", out, "-q")
    assert ended.code == 0, ended.err
    assert np.array_equal(dense(out), answer[7:8])
