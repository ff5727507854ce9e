"""Loom files as h5ad: genes x cells by convention, so their matrices are turned, a block at a time.

    matrix, layers/*       genes x cells, dense, usually in small square chunks
    row_attrs, col_attrs   an array per column of var and obs; (n, k) arrays go to varm and obsm
    attrs                  what is said of the whole file (attributes of the root before version 3)

Names of genes are in `Gene`, names of cells in `CellID`, where there are any. Graphs (`row_graphs`,
`col_graphs`) become varp and obsp. Format: https://linnarssonlab.org/loompy/format.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad.frame import Column, Frame, categorical
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.names import make_unique
from scgx.h5ad.transpose import turned
from scgx.h5ad.writer import Writer, create
from scgx.progress import warn

Array = np.ndarray
_GENES = ("Gene", "gene_names", "GeneName", "var_names", "Accession")
_CELLS = ("CellID", "obs_names", "cell_names", "Barcode")


class _Side(NamedTuple):
    """One side of the file: its table, its arrays of several columns, its graphs."""

    frame: Frame
    arrays: dict[str, Array]
    graphs: dict[str, sparse.csr_array]


def write_loom(file: h5py.File, name: str, memory: int, made: Path) -> None:
    """A loom file as an h5ad of cells x genes; matrices sparse, whole numbers kept.

    `memory` in bytes. Raises InputError for attributes of another length than the matrix.
    """
    n_genes, n_cells = file["matrix"].shape
    var = _side(file, "row", n_genes, _GENES, name)
    obs = _side(file, "col", n_cells, _CELLS, name)
    with create(made) as out:
        for key, side in (("obs", obs), ("var", var)):
            out.frame(key, side.frame)
            for inner, values in side.arrays.items():
                out.array(f"{key}m/{inner}", values)
            for inner, graph in side.graphs.items():
                with out.matrix(f"{key}p/{inner}", graph.shape[1], graph.dtype) as append:
                    append(graph)
        keys = [("matrix", "X"), *((f"layers/{k}", f"layers/{k}") for k in file.get("layers", ()))]
        for old, new in keys:
            matrix = Matrix(file[old], (n_genes, n_cells), old, name)
            with out.matrix(new, n_genes, matrix.dtype) as append:
                for block in _cells(matrix, memory):
                    append(sparse.csr_array(block))
        _facts(file, out)


def _cells(matrix: Matrix, memory: int) -> Iterator[Array]:
    """Blocks of cells: straight from disk where a chunk is no wider than a block."""
    n_genes, n_cells = matrix.shape
    budget = min(memory // 8, 64 << 20)
    width = max(1, budget // max(1, n_genes * matrix.dtype.itemsize))
    chunk = (matrix.item.chunks or (1, n_cells))[1]
    if chunk > width:
        yield from turned(matrix, memory)
        return
    width -= width % chunk
    for start in range(0, n_cells, width):
        yield matrix.item[:, start : start + width].T


def _side(file: h5py.File, word: str, n: int, known: tuple[str, ...], name: str) -> _Side:
    columns: dict[str, Column] = {}
    arrays: dict[str, Array] = {}
    for key, item in file[f"{word}_attrs"].items():
        if not isinstance(item, h5py.Dataset) or item.shape[:1] != (n,):
            shape = getattr(item, "shape", "a group")
            raise InputError(f"{word}_attrs/{key} is {shape}, not ({n},)", file=name)
        values = item[()]
        if values.size == n:
            columns[key] = _decoded(values.reshape(n))
        elif values.dtype.kind in "iufb":
            arrays[key] = values.reshape(n, -1)
        else:
            warn(f"{word}_attrs/{key} has several words per row and is left out")
    index = next((key for key in known if key in columns), None)
    words = (
        [str(i) for i in columns.pop(index)]
        if index
        else [  # type: ignore[union-attr]
            f"{'gene' if word == 'row' else 'cell'}{i}" for i in range(n)
        ]
    )
    if len(set(words)) < len(words):
        warn(f"{index} repeats; they got -1, -2 ...")
    frame = Frame(make_unique(words), {key: _column(values) for key, values in columns.items()})
    return _Side(frame, arrays, _graphs(file.get(f"{word}_graphs"), n))


def _graphs(group: h5py.Group | None, n: int) -> dict[str, sparse.csr_array]:
    found = {}
    for key, item in (group or {}).items():
        if isinstance(item, h5py.Group) and {"a", "b", "w"} <= set(item):
            ends = (item["a"][()], item["b"][()])
            found[key] = sparse.coo_array((item["w"][()], ends), shape=(n, n)).tocsr()
    return found


def _facts(file: h5py.File, out: Writer) -> None:
    """What is said of the whole file, in uns["loom"]."""
    facts = dict(file.attrs)
    if isinstance(file.get("attrs"), h5py.Group):
        facts.update({k: v[()] for k, v in file["attrs"].items() if isinstance(v, h5py.Dataset)})
    for key, value in facts.items():
        if isinstance(value, h5py.Empty):
            continue
        words = _decoded(np.atleast_1d(np.asarray(value)).ravel())
        if words.dtype.kind in "Oiufb":
            out.uns(f"loom/{key.replace('/', '_')}", words if np.ndim(value) else words.tolist()[0])


def _decoded(values: Array) -> Array:
    if values.dtype.kind not in "SUO":
        return values
    words = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
    return np.array(words, dtype=object)


def _column(values: Column) -> Column:
    """Words that repeat as a categorical."""
    words = values.tolist() if isinstance(values, np.ndarray) and values.dtype == object else []
    return categorical(words) if 2 * len(set(words)) < len(words) else values
