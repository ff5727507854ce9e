"""Files of different cells written as one: rows one below the other, features in one order.

Matrices stream in blocks through a table (column of the file -> column of the output, or -1), so that
what is held does not grow with the files. Where a file lacks a column nothing is stored; who measured
what is written beside it (`measured`). What has no rows of cells to append is named and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import ScgxError
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import read_value
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.threads import ahead
from scgx.h5ad.totals import missing_totals
from scgx.h5ad.writer import Writer
from scgx.progress import bar

Array: TypeAlias = np.ndarray
Values: TypeAlias = sparse.csr_array | np.ndarray


class Share(NamedTuple):
    """One file: the rows taken of it (int64, ascending; None is all) and where its columns go:
    `lookup` int64 (n_var,), -1 is nowhere. Columns that go to one place are added up.
    """

    cells: Cells
    rows: Array | None
    lookup: Array

    @property
    def n_rows(self) -> int:
        """How many rows it gives."""
        return self.cells.n_obs if self.rows is None else len(self.rows)

    @property
    def merges(self) -> bool:
        """Do several of its columns become one?"""
        placed = self.lookup[self.lookup >= 0]
        return len(np.unique(placed)) < len(placed)


class Target(NamedTuple):
    """A matrix of the output: `width` columns; of those in `presence` (bool) 1 is the most."""

    key: str
    width: int
    presence: Array


def write_matrix(
    out: Writer, target: Target, shares: Sequence[Share], keys: Sequence[str], memory: int
) -> None:
    """One matrix of the output from `keys`, one in each file. Dense where all are and none lacks a
    column, else CSR.
    """
    matrices = [share.cells.matrix(key) for share, key in zip(shares, keys, strict=True)]
    whole = all(len(np.unique(s.lookup[s.lookup >= 0])) == target.width for s in shares)
    dense = whole and all(matrix.kind == "dense" for matrix in matrices)
    dtype = np.result_type(*(_storable(matrix.dtype) for matrix in matrices))
    if dtype.kind in "iu" and any(share.merges for share in shares):
        dtype = np.result_type(dtype, np.int32)  # sums of small integers
    total = sum(share.n_rows for share in shares)
    matrix = out.matrix(target.key, target.width, dtype, is_sparse=not dense)
    with matrix as append, bar(f"writing {target.key}", total) as advance:
        for share, key in zip(shares, keys, strict=True):
            for block in ahead(_blocks(share, key, memory)):
                placed = place(block, share.lookup, target.width, dtype)
                append(_at_most_one(placed, target.presence) if share.merges else placed)
                advance(block.shape[0])


def _blocks(share: Share, key: str, memory: int) -> Iterator[Values]:
    """Blocks of a file, two of which are held at a time, before and after their columns move."""
    for block in share.cells.blocks(key, memory=max(1, memory // 8), rows=share.rows):
        yield block.X


def place(block: Values, lookup: Array, width: int, dtype: np.dtype) -> Values:
    """Columns of a block (n, m) moved to where `lookup` (m,) says: (n, width), of the same kind."""
    if isinstance(block, np.ndarray):
        moved = np.zeros((block.shape[0], width), dtype=dtype)
        kept = np.flatnonzero(lookup >= 0)
        if len(np.unique(lookup[kept])) == len(kept):
            moved[:, lookup[kept]] = block[:, kept]
        else:
            np.add.at(moved.T, lookup[kept], block.T[kept])
        return moved
    to = lookup[block.indices]
    kept = np.flatnonzero(to >= 0)
    indptr = np.searchsorted(kept, block.indptr)
    parts = block.data[kept].astype(dtype, copy=False), to[kept], indptr
    made = sparse.csr_array(parts, shape=(block.shape[0], width))
    made.sum_duplicates()  # sorts as well
    return made


def _at_most_one(block: Values, presence: Array) -> Values:
    """Presence of peaks that became one is presence."""
    if not presence.any():
        return block
    if isinstance(block, np.ndarray):
        return np.where(presence & (block > 1), np.ones((), block.dtype), block)
    over = presence[block.indices] & (block.data > 1)
    block.data[over] = 1
    return block


def _storable(dtype: np.dtype) -> np.dtype:
    """Half precision comes out of a reader as single."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def sums(share: Share, modality: str) -> Array | None:
    """Counts per cell over all features of a modality before any is dropped, float64 (rows,); None
    where obs has them already or the file has no counts.
    """
    for key, totals in missing_totals(share.cells).items():
        if modality in totals.sums:
            for block in share.cells.blocks(key):
                totals.add_block(block.start, block.X)
            found = totals.sums[modality]
            return found if share.rows is None else found[share.rows]
    return None


def write_obsm(out: Writer, shares: Sequence[Share]) -> list[str]:
    """Arrays over cells that every file has in the same width; returns what is left out."""
    lost: list[str] = []
    names = dict.fromkeys(name for share in shares for name in share.cells.keys("obsm"))
    for name in names:
        key = f"obsm/{name}"
        items = [_array_of_cells(share.cells, key) for share in shares]
        found = [item for item in items if item is not None]
        if len(found) < len(shares) or len({item.shape[1] for item in found}) > 1:
            lost.append(key)
            continue
        dtype = np.result_type(*(_storable(item.dtype) for item in found))
        dense = all(item.kind == "dense" for item in found)
        with out.matrix(key, found[0].shape[1], dtype, is_sparse=not dense) as append:
            for share, item in zip(shares, found, strict=True):
                rows = np.arange(share.cells.n_obs) if share.rows is None else share.rows
                for start in range(0, len(rows), 1 << 16):
                    append(item.take(rows[start : start + (1 << 16)]))
    return lost + _without_rows(shares)


def _array_of_cells(cells: Cells, key: str) -> Matrix | None:
    """A two-dimensional array or sparse matrix of numbers with a row per cell; None for another."""
    item = cells.h5.get(key)
    if isinstance(item, h5py.Dataset):
        fits = item.ndim == 2 and item.dtype.kind in "iufb" and len(item) == cells.n_obs
        return Matrix(item, item.shape, key, cells.name) if fits else None
    if item is None or item.attrs.get("encoding-type", "") not in ("csr_matrix", "csc_matrix"):
        return None
    shape = (cells.n_obs, int(item.attrs["shape"][1]))
    return Matrix(item, shape, key, cells.name)


def _without_rows(shares: Sequence[Share]) -> list[str]:
    """Graphs of cells, arrays over features and raw: of other cells or features than the output's."""
    lost = []
    for share in shares:
        for group in ("obsp", "varm", "varp"):
            lost += [f"{group}/{name}" for name in share.cells.keys(group)]
        lost += ["raw"] if "raw" in share.cells.h5 or "raw.X" in share.cells.h5 else []
    return [name for name in dict.fromkeys(lost) if name != "varm/measured"]


def write_uns(out: Writer, shares: Sequence[Share], skip: Sequence[str] = ()) -> list[str]:
    """What is the same in every file; returns the names of what is not. uns["scgx"] is apart."""
    groups = [share.cells.h5.get("uns") for share in shares]
    groups = [group for group in groups if isinstance(group, h5py.Group)]
    target = out.group("uns")
    lost = []
    for name in dict.fromkeys(name for group in groups for name in group):
        if name == "scgx":
            continue
        items = [group[name] for group in groups if name in group]
        alike = len(items) == len(shares) and all(equal(items[0], item) for item in items[1:])
        if alike and name not in skip:
            items[0].file.copy(items[0], target, name=name)
        else:
            lost.append(f"uns/{name}")
    return lost


def equal(one: h5py.HLObject, other: h5py.HLObject) -> bool:
    """Do two objects hold the same names and values?"""
    if isinstance(one, h5py.Group) != isinstance(other, h5py.Group):
        return False
    if isinstance(one, h5py.Group):
        return set(one) == set(other) and all(equal(one[name], other[name]) for name in one)
    try:
        first, second = np.asarray(read_value(one)), np.asarray(read_value(other))
    except ScgxError:
        return False
    return first.dtype.kind == second.dtype.kind and bool(np.array_equal(first, second))
