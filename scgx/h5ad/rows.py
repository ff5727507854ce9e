"""Take rows of cells on disk, their order kept, in bounded memory.

Sparse matrices stay CSR or CSC and stream in slabs of stored entries: along the compressed axis whole
runs are picked, along the other one a lookup table (old number -> new, or -1) drops entries. Stored
zeros and the order of entries cross as they are. Categories that no cell is left with are kept: the
colours in uns are by category, and a later file may have them.
"""

from collections.abc import Iterator, Sequence

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import CHUNK_ELEMENTS, read_frame
from scgx.h5ad.matrix import Matrix, check_indices, cut
from scgx.h5ad.threads import ahead
from scgx.h5ad.writer import Writer
from scgx.progress import bar

_SLAB = 1 << 19
_MOST_BYTES = 64 << 20
WRITTEN = ("obs", "layers", "obsm", "obsp")


def select_rows(
    cells: Cells, out: Writer, rows: np.ndarray, columns: np.ndarray | None = None
) -> list[str]:
    """Write obs, X, layers, obsm, obsp and raw of the rows given (int64, ascending, no repeats); X and
    layers of some columns alone, where given (the same).

    The rest (var, varm, varp, uns) is for `out.copy_rest(cells, skip=WRITTEN)`. Returns the names
    of what no rows can be taken of (awkward arrays), which is left out.
    """
    out.frame("obs", cells.obs.take(rows))
    for key in ["X"] * cells.has("X") + [f"layers/{name}" for name in cells.keys("layers")]:
        _matrix(cells.matrix(key), out, key, rows, cells.memory, columns)
    _raw(cells, out, rows)
    for group in ("layers", "obsm", "obsp"):
        if group in cells.h5:
            out.group(group)
    old = cells.h5.get("obsm")
    if isinstance(old, h5py.Dataset):  # AnnData 0.6 and older: one table
        for name in old.dtype.names or ():
            out.array(f"obsm/{name}", old[name][rows])
    square = (cells.n_obs, cells.n_obs)
    for name in cells.keys("obsp"):
        key = f"obsp/{name}"
        _matrix(Matrix(cells.h5[key], square, key), out, key, rows, cells.memory, rows)
    _neighbours(cells, out, rows)
    keys = [f"obsm/{name}" for name in cells.keys("obsm")]
    return [key for key in keys if not _aligned(cells, out, key, rows)]


def _raw(cells: Cells, out: Writer, rows: np.ndarray) -> None:
    """raw/X of the rows, and what lies beside it; AnnData 0.5 has raw.X at the top."""
    source = cells.h5.get("raw")
    if not isinstance(source, h5py.Group) and "raw.X" not in cells.h5:
        return
    group = out.h5.create_group("raw")
    group.attrs["encoding-type"] = "raw"
    group.attrs["encoding-version"] = "0.1.0"
    if not isinstance(source, h5py.Group):
        item = cells.h5["raw.X"]
        width = len(read_frame(cells.h5["raw.var"], cells.h5.get("uns")))
        matrix = Matrix(item, (cells.n_obs, width), "raw.X")
        _matrix(matrix, out, "raw/X", rows, cells.memory)
        return  # its other parts are copied with the rest
    if cells.has("raw/X"):
        _matrix(cells.matrix("raw/X"), out, "raw/X", rows, cells.memory)
    for name in source:
        out.copy(cells, f"raw/{name}")


def _neighbours(cells: Cells, out: Writer, rows: np.ndarray) -> None:
    """The graphs that AnnData 0.6 kept in uns, and that every later one takes for obsp."""
    source = cells.h5.get("uns/neighbors")
    graphs = [
        name for name in ("distances", "connectivities") if f"uns/neighbors/{name}" in cells.h5
    ]
    if not isinstance(source, h5py.Group) or not graphs:
        return
    out.group("uns")
    out.group("uns/neighbors")
    for name in source:
        key, item = f"uns/neighbors/{name}", source[name]
        if name in graphs and (isinstance(item, h5py.Group) or item.ndim == 2):
            matrix = Matrix(item, (cells.n_obs, cells.n_obs), key)
            _matrix(matrix, out, key, rows, cells.memory, rows)
        else:
            out.copy(cells, key)


def _aligned(cells: Cells, out: Writer, key: str, rows: np.ndarray) -> bool:
    """One array, sparse matrix or table of obsm; False for another kind."""
    item = cells.h5[key]
    kind = item.attrs.get("encoding-type", "")
    if isinstance(item, h5py.Dataset) and item.ndim and len(item) == cells.n_obs:
        _dense(item, out, key, rows, cells.memory)
    elif kind == "dataframe" and len(table := read_frame(item)) == cells.n_obs:
        out.frame(key, table.take(rows))
    elif kind in ("csr_matrix", "csc_matrix"):
        shape = (cells.n_obs, int(item.attrs["shape"][1]))
        _matrix(Matrix(item, shape, key), out, key, rows, cells.memory)
    elif isinstance(item, h5py.Dataset) or kind == "dataframe":
        raise InputError(f"{key} has no row for every cell", file=cells.name)
    else:
        return False
    return True


def _matrix(
    matrix: Matrix,
    out: Writer,
    key: str,
    rows: np.ndarray,
    memory: int,
    columns: np.ndarray | None = None,
) -> None:
    """Rows of a matrix, and the columns given alone, stored as it was."""
    if matrix.kind == "dense":
        _dense(matrix.item, out, key, rows, memory, columns=columns)
        return
    by_row = matrix.kind == "csr"
    every = np.arange(matrix.shape[1]) if columns is None else columns
    major, minor = (rows, columns) if by_row else (every, rows)
    width = matrix.shape[1] if minor is None else len(minor)
    made = out.matrix(key, width, matrix.dtype)
    with made as append, bar(f"writing {key}", len(major)) as advance:
        for block in compressed(matrix, major, minor):
            append(block)
            advance(block.shape[0])
    if not by_row:  # what was appended are columns
        item = out.h5[key]
        item.attrs["encoding-type"] = "csc_matrix"
        item.attrs["shape"] = np.array([width, len(major)], dtype=np.int64)


def compressed(
    matrix: Matrix, major: np.ndarray, minor: np.ndarray | None
) -> Iterator[sparse.csr_array]:
    """Blocks of the compressed vectors `major` (ascending) of a CSR or CSC matrix, in order, as rows;
    only the entries whose other index is in `minor` (ascending), renumbered.
    """
    bound = matrix.shape[1 if matrix.kind == "csr" else 0]
    width = bound if minor is None else len(minor)
    lookup = np.full(bound, -1, dtype=np.int32 if bound < 2**31 else np.int64)
    lookup[slice(None) if minor is None else minor] = np.arange(width)
    for chosen, indptr, indices, data in ahead(_slabs(matrix, major)):
        check_indices(indices, bound, matrix)
        data = data.astype(np.float32) if data.dtype == np.float16 else data  # scipy knows no half
        shape = (len(indptr) - 1, bound)
        block = sparse.csr_array((data, indices, indptr), shape=shape, copy=False)
        block = block if len(chosen) == shape[0] else block[chosen]
        if minor is not None:
            renamed = lookup.take(block.indices)
            kept = np.flatnonzero(renamed >= 0)
            parts = block.data.take(kept), renamed.take(kept), np.searchsorted(kept, block.indptr)
            block = sparse.csr_array(parts, shape=(len(chosen), width), copy=False)
        yield block


def _slabs(
    matrix: Matrix, major: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(which of its vectors are wanted, indptr, indices, data) of the slabs that hold any."""
    for start, stop in cut(matrix.indptr, _SLAB):
        first, last = np.searchsorted(major, [start, stop])
        if first < last:
            here = major[first:last]
            start, stop = int(here[0]), int(here[-1]) + 1
            lo, hi = int(matrix.indptr[start]), int(matrix.indptr[stop])
            indptr = matrix.indptr[start : stop + 1] - lo
            yield here - start, indptr, matrix.indices.read(lo, hi), matrix.data.read(lo, hi)


def _dense(
    item: h5py.Dataset,
    out: Writer,
    key: str,
    rows: np.ndarray,
    memory: int,
    *,
    columns: np.ndarray | None = None,
) -> None:
    """Rows of an array of any kind and number of dimensions."""
    shape = (len(rows), *(item.shape[1:] if columns is None else (len(columns),)))
    row = max(1, int(np.prod(item.shape[1:], dtype=np.int64)))
    options: dict[str, object] = {}
    if np.prod(shape, dtype=np.int64):
        height = min(len(rows), max(1, CHUNK_ELEMENTS // row))
        options = {"chunks": (height, *_chunk(shape[1:])), **out.compression}
        options["fletcher32"] = item.dtype.kind in "iufb"
    parent, _, name = key.rpartition("/")
    made = out.group(parent).create_dataset(name, shape, item.dtype, **options)
    for attribute, value in item.attrs.items():
        made.attrs[attribute] = value
    many = max(1, min(memory // 8, _MOST_BYTES) // (row * item.dtype.itemsize))
    with bar(f"writing {key}", len(rows)) as advance:
        done = 0
        for start in range(0, item.shape[0], many):
            first, last = np.searchsorted(rows, [start, start + many])
            if first < last:
                here = rows[first:last]
                block = item[int(here[0]) : int(here[-1]) + 1][here - here[0]]
                made[done : done + len(here)] = block if columns is None else block[:, columns]
                done += len(here)
                advance(len(here))


def _chunk(shape: Sequence[int]) -> tuple[int, ...]:
    """The part of a row that goes into one chunk."""
    if not shape:
        return ()
    rest = max(1, int(np.prod(shape[1:], dtype=np.int64)))
    return (min(shape[0], max(1, CHUNK_ELEMENTS // rest)), *shape[1:])
