"""Features x cells as cells x features: obs and var, and all that belongs to them, change sides.

What AnnData's `.T` makes, in bounded memory: X and every layer are turned, obs and var, obsm and
varm, obsp and varp change places, uns stays. A CSC matrix is turned by another name: its three arrays
are the transposed matrix in CSR, and are copied as they are. A CSR matrix is converted, so that the
result is CSR too, which every command reads by the cell; `relabel` names it CSC instead, at the price
of a copy, for whoever reads it by the column.

`raw` has features of its own and cannot be turned: it waits in uns["transposed_raw"], and goes back
into its place when the file is turned once more. So twice is the identity, whatever the file holds.
"""

from collections.abc import Iterator

import h5py
import numpy as np
from scipy import sparse

from scgx.h5ad.cells import Cells
from scgx.h5ad.matrix import Matrix, check_indices
from scgx.h5ad.spill import DenseSpill, SparseSpill, spill_file
from scgx.h5ad.threads import ahead
from scgx.h5ad.writer import Writer, upgrade_sparse
from scgx.progress import say, warn

BY_FEATURE = ("10x", "mtx", "loom")
"""Kinds that lie as features x cells: whoever opens one as cells x features has turned it."""
SIDES = (("obs", "var"), ("obsm", "varm"), ("obsp", "varp"))
WAITING = "transposed_raw"
_SLAB = 1 << 22
_MOST = 256 << 20  # larger pieces leave the processor's caches, and take twice as long


def transpose_cells(cells: Cells, out: Writer, *, memory: int, relabel: bool = False) -> None:
    """Write the transposed file, but for its history.

    `memory` in bytes; `relabel`: a CSR matrix becomes CSC without a conversion.
    """
    for key in _matrices(cells):
        matrix = cells.matrix(key)
        if matrix.kind == "csc" or (matrix.kind == "csr" and relabel):
            _rename(matrix, cells, out, key)
        else:
            is_sparse = matrix.kind != "dense"
            with out.matrix(key, cells.n_obs, matrix.dtype, is_sparse=is_sparse) as append:
                for block in turned(matrix, memory):
                    append(block)
    if "uns" in cells.h5:
        out.group("uns")
    _raw(cells, out)
    out.copy_rest(cells, skip=("X", "layers", "raw", f"uns/{WAITING}"))
    _graphs(out, cells.n_obs)
    for one, other in SIDES:
        _swap(out.h5, one, other)


def _matrices(cells: Cells) -> list[str]:
    return [*(["X"] if cells.has("X") else []), *(f"layers/{n}" for n in cells.keys("layers"))]


def turned(matrix: Matrix, memory: int) -> Iterator[sparse.csr_array | np.ndarray]:
    """Blocks of rows of the transposed matrix: CSR of a sparse one, dense of a dense one."""
    shape = matrix.shape[::-1]
    memory = min(memory, _MOST)
    plan = matrix.plan(memory // 2) or [(0, 0)]
    parts = (_turn(matrix.slice(start, stop)) for start, stop in plan)
    if len(plan) < 2:
        yield from parts
        return
    with spill_file() as file:
        if matrix.kind == "dense":
            dense = DenseSpill(file, shape, matrix.dtype)
            for part in ahead(parts):
                dense.add(part)
            yield from ahead(dense.rows(memory // 2))
            return
        pieces = SparseSpill(file, shape, _stored(matrix.dtype))
        for (start, _), part in zip(plan, ahead(parts), strict=True):
            assert not isinstance(part, np.ndarray)
            pieces.add(part.indptr, part.indices + part.indices.dtype.type(start), part.data)
        yield from ahead(pieces.rows(memory // 2))


def _turn(block: sparse.csr_array | np.ndarray) -> sparse.csr_array | np.ndarray:
    return block.T if isinstance(block, np.ndarray) else block.T.tocsr()


def _stored(dtype: np.dtype) -> np.dtype:
    """scipy computes with no half precision; a block of such values is single precision."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _rename(matrix: Matrix, cells: Cells, out: Writer, key: str) -> None:
    """The same three arrays under the other name."""
    for lo in range(0, matrix.nnz, _SLAB):
        bound = matrix.shape[1 if matrix.kind == "csr" else 0]
        check_indices(matrix.indices.read(lo, min(lo + _SLAB, matrix.nnz)), bound, matrix)
    parent, _, name = key.rpartition("/")
    item = out.group(parent).create_group(name)
    assert len(matrix.indptr)  # read, and checked
    for part in ("data", "indices", "indptr"):
        cells.h5.file.copy(matrix.item[part], item, name=part)
    item.attrs["encoding-type"] = "csc_matrix" if matrix.kind == "csr" else "csr_matrix"
    item.attrs["encoding-version"] = "0.1.0"
    item.attrs["shape"] = np.array(matrix.shape[::-1], dtype=np.int64)


def _raw(cells: Cells, out: Writer) -> None:
    """Put raw where it waits, and a waiting one back where it belongs."""
    if "raw" in cells.h5 or "raw.X" in cells.h5:
        other = [key for key in cells.h5 if key not in ("raw", "raw.X", "raw.var", "raw.varm")]
        out.copy_rest(cells, skip=other)
        out.group("uns")
        if WAITING in cells.keys("uns"):
            warn(f"uns[{WAITING!r}] is replaced by raw")
        out.h5.move("raw", f"uns/{WAITING}")
        out.h5[f"uns/{WAITING}"].attrs["encoding-type"] = "dict"
        say(f"raw has features of its own: it is kept in uns[{WAITING!r}] until transposed again")
        return
    waiting = cells.h5.get(f"uns/{WAITING}")
    if not isinstance(waiting, h5py.Group) or "X" not in waiting:
        return
    rows = waiting["X"].attrs["shape"][0] if "shape" in waiting["X"].attrs else len(waiting["X"])
    if rows != cells.n_var:
        warn(f"uns[{WAITING!r}] has {rows:,} cells where there are {cells.n_var:,}: left out")
        return
    cells.h5.file.copy(waiting, out.h5, name="raw")
    out.h5["raw"].attrs["encoding-type"] = "raw"


def _graphs(out: Writer, n_obs: int) -> None:
    """AnnData 0.6 kept graphs of cells in uns["neighbors"]; put into obsp, they are turned too."""
    old = out.h5.get("uns/neighbors")
    for name in ("distances", "connectivities"):
        if isinstance(old, h5py.Group) and name in old and f"obsp/{name}" not in out.h5:
            item = old[name]
            upgrade_sparse(item)
            if tuple(item.attrs.get("shape", getattr(item, "shape", ()))) == (n_obs, n_obs):
                out.group("obsp")
                out.h5.move(item.name, f"obsp/{name}")


def _swap(group: h5py.Group, one: str, other: str) -> None:
    """Exchange two names; links are moved, and no values."""
    for before, after in ((one, "swapped"), (other, one), ("swapped", other)):
        if before in group:
            group.move(before, after)
