"""One writer: an h5ad is made in a temporary file, row block by row block, and signed at the end.

HDF5 1.10 headers (their metadata carries checksums), fletcher32 on every array that is encoded here,
the encodings of AnnData 0.8, our trailer after the image. What a command does not touch is copied by
HDF5 itself and stays bit for bit. The file becomes somebody's output in `streams`, not here.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import scipy

from scgx.errors import MachineError
from scgx.h5ad import trailer, verbatim
from scgx.h5ad.blocks import Block, Rows
from scgx.h5ad.cells import Cells, from_hdf5
from scgx.h5ad.encoding import (
    CHUNK_ELEMENTS,
    kept_in_uns,
    read_frame,
    write_array,
    write_column,
    write_frame,
    write_value,
)
from scgx.h5ad.frame import Column, Frame

_AT_ONCE = 4 * CHUNK_ELEMENTS
_HARDEST = 6  # of gzip: on counts level 9 takes 25 times as long and saves an eighth
_TOP = ("obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw", "X")


class Writer:
    """An h5ad that is being made; from `create`."""

    def __init__(self, file: h5py.Group, compression: dict[str, object]) -> None:
        self.h5 = file
        self.compression = compression
        file.attrs["encoding-type"] = "anndata"
        file.attrs["encoding-version"] = "0.1.0"

    def frame(self, key: str, frame: Frame) -> None:
        """Write obs, var or raw/var."""
        parent, _, name = key.rpartition("/")
        group = self.h5.require_group(parent) if parent else self.h5
        if name in group:
            del group[name]
        write_frame(group, name, frame)

    def column(self, key: str, name: str, values: Column) -> None:
        """Add a column to a table that was copied, or replace it; the others stay bit for bit."""
        item = self.h5[key]
        if name in item:
            del item[name]
        write_column(item, name, values)
        order = [n.decode() if isinstance(n, bytes) else str(n) for n in item.attrs["column-order"]]
        names = [*(n for n in order if n != name), name]
        item.attrs["column-order"] = np.array(names, dtype=h5py.string_dtype("utf-8"))

    def uns(self, path: str, value: object) -> None:
        """Write a value below uns, "scgx/genome" for instance; replaces what is there."""
        write_value(self.h5, "uns", {})
        group = self.h5["uns"]
        *parents, name = path.split("/")
        for parent in parents:
            write_value(group, parent, {})
            group = group[parent]
        write_value(group, name, value)

    def array(self, key: str, values: np.ndarray) -> None:
        """Write a dense array such as obsm/X_pca."""
        parent, _, name = key.rpartition("/")
        group = self.group(parent)
        write_array(group, name, values)

    def group(self, name: str) -> h5py.Group:
        """A group of AnnData's kind (dict), made when absent."""
        if not name:
            return self.h5
        if name not in self.h5:
            item = self.h5.create_group(name)
            item.attrs["encoding-type"] = "dict"
            item.attrs["encoding-version"] = "0.1.0"
        return self.h5[name]

    def copy(self, cells: Cells, key: str) -> None:
        """Copy an object verbatim with HDF5; old tables are re-encoded; nothing where absent."""
        if key not in cells.h5 or key in self.h5:
            return
        item = cells.h5[key]
        parent, _, name = key.rpartition("/")
        if (name in ("obs", "var") or _is_table(item)) and not _is_modern(item):
            self.frame(key, read_frame(item, cells.h5.get("uns")))
        elif key == "raw":
            self._copy_raw(cells)
        elif name in ("obsm", "varm") and isinstance(item, h5py.Dataset):
            for field in item.dtype.names or ():  # AnnData 0.6 and older: one table
                self.array(f"{key}/{field}", item[field])
        elif name in ("obsm", "varm") and any(map(_is_table, item.values())):
            self.group(key)
            for inner in item:
                self.copy(cells, f"{key}/{inner}")
        else:
            verbatim.check(item, key, cells.name)
            cells.h5.file.copy(item, self.group(parent), name=name)
            upgrade_sparse(self.h5[key])

    def _copy_raw(self, cells: Cells) -> None:
        group = self.h5.create_group("raw")
        group.attrs["encoding-type"] = "raw"
        group.attrs["encoding-version"] = "0.1.0"
        for name in cells.h5["raw"]:
            self.copy(cells, f"raw/{name}")

    def copy_rest(self, cells: Cells, skip: Iterable[str] = ()) -> None:
        """Copy whatever the source has and the output does not, but for the names in `skip`."""
        skip = set(skip)
        for old, new in (("raw.X", "raw/X"), ("raw.var", "raw/var"), ("raw.varm", "raw/varm")):
            if old in cells.h5 and "raw" not in skip and new not in self.h5:
                self._copy_flat_raw(cells, old, new)
        for key in cells.h5:
            if key in skip or key.startswith("raw."):
                continue
            item = cells.h5[key]
            if key in self.h5 and isinstance(item, h5py.Group) and key in _TOP[2:8]:
                for inner in item:
                    if f"{key}/{inner}" not in skip:
                        self.copy(cells, f"{key}/{inner}")
            else:
                self.copy(cells, key)
        for name in kept_in_uns(cells.h5):
            if f"uns/{name}" in self.h5:
                del self.h5[f"uns/{name}"]

    def _copy_flat_raw(self, cells: Cells, old: str, new: str) -> None:
        """AnnData 0.5 kept raw as top-level names with a dot."""
        raw = self.h5.require_group("raw")
        raw.attrs["encoding-type"] = "raw"
        raw.attrs["encoding-version"] = "0.1.0"
        if new == "raw/var":
            self.frame(new, read_frame(cells.h5[old], cells.h5.get("uns")))
        elif isinstance(cells.h5[old], h5py.Group) or cells.h5[old].dtype.names is None:
            cells.h5.file.copy(cells.h5[old], raw, name=new.split("/")[1])
            upgrade_sparse(self.h5[new])

    @contextlib.contextmanager
    def matrix(
        self, key: str, n_var: int, dtype: np.dtype | type, *, is_sparse: bool = True
    ) -> Iterator[Callable[[Block | Rows | scipy.sparse.csr_array | np.ndarray], None]]:
        """Append blocks of rows to a matrix; yields `append(block)`."""
        parent, _, name = key.rpartition("/")
        group = self.group(parent)
        if name in group:
            del group[name]
        appender = (_Sparse if is_sparse else _Dense)(group, name, n_var, dtype, self.compression)
        yield lambda block: appender.append(block.X if isinstance(block, Block) else block)
        appender.close()


class _Sparse:
    """CSR that grows: data and indices are appended, indptr is kept and written last."""

    def __init__(
        self, group: h5py.Group, name: str, n_var: int, dtype: object, packing: dict[str, object]
    ) -> None:
        self.item, self.n_var = group.create_group(name), n_var
        options = {"maxshape": (None,), "chunks": (CHUNK_ELEMENTS,), "fletcher32": True, **packing}
        small = n_var < 2**31
        self.indices = self.item.create_dataset("indices", (0,), "i4" if small else "i8", **options)
        self.data = self.item.create_dataset("data", (0,), dtype, **options)
        self.lengths: list[np.ndarray] = []
        self.waiting: list[Rows] = []
        self.nnz = 0

    def append(self, block: Rows | scipy.sparse.csr_array | np.ndarray) -> None:
        if not isinstance(block, Rows):
            block = scipy.sparse.csr_array(block)
            block = Rows(block.data, block.indices, np.diff(block.indptr))
        self.lengths.append(np.asarray(block.lengths, dtype=np.int64))
        self.waiting.append(block)
        if sum(len(rows.data) for rows in self.waiting) >= _AT_ONCE:
            self._write()

    def _write(self) -> None:
        """Small blocks go to disk together: HDF5 takes as long for one entry as for thousands."""
        data = np.concatenate([rows.data for rows in self.waiting])
        indices = np.concatenate([rows.indices for rows in self.waiting])
        stop = self.nnz + len(data)
        self.data.resize((stop,))
        self.indices.resize((stop,))
        self.data[self.nnz : stop] = data
        self.indices[self.nnz : stop] = indices
        self.nnz, self.waiting = stop, []

    def close(self) -> None:
        if self.waiting:
            self._write()
        lengths = np.concatenate(self.lengths) if self.lengths else np.empty(0, np.int64)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        small = self.nnz < 2**31 and self.n_var < 2**31
        write_array(self.item, "indptr", indptr.astype(np.int32 if small else np.int64))
        del (
            self.item["indptr"].attrs["encoding-type"],
            self.item["indptr"].attrs["encoding-version"],
        )
        self.item.attrs["encoding-type"] = "csr_matrix"
        self.item.attrs["encoding-version"] = "0.1.0"
        self.item.attrs["shape"] = np.array([len(lengths), self.n_var], dtype=np.int64)


class _Dense:
    """A dense matrix that grows by rows."""

    def __init__(
        self, group: h5py.Group, name: str, n_var: int, dtype: object, packing: dict[str, object]
    ) -> None:
        rows = max(1, CHUNK_ELEMENTS // max(1, n_var))
        options = {"maxshape": (None, n_var), "fletcher32": n_var > 0, **packing}
        chunks = (rows, min(n_var, CHUNK_ELEMENTS)) if n_var else (1, 1)
        if not n_var:
            options = {"maxshape": (None, 1)}
        self.item = group.create_dataset(name, (0, n_var), dtype, chunks=chunks, **options)

    def append(self, block: scipy.sparse.csr_array | np.ndarray) -> None:
        values = block if isinstance(block, np.ndarray) else block.toarray()
        start = self.item.shape[0]
        self.item.resize(start + len(values), axis=0)
        self.item[start:] = values

    def close(self) -> None:
        self.item.attrs["encoding-type"] = "array"
        self.item.attrs["encoding-version"] = "0.2.0"


@contextlib.contextmanager
def create(path: Path, *, like: Cells | None = None, preamble: bytes = b"") -> Iterator[Writer]:
    """Make an h5ad at a (temporary) path; compressed as `like`'s X is (gzip at most 6), else not.

    A `preamble` (up to 512 bytes) stands before the HDF5 image, as MuData has it.
    """
    packing = _packing(like) if like is not None else {}
    userblock = 512 if preamble else 0
    try:
        file = h5py.File(
            path, "w", libver=("v110", "v110"), locking=False, userblock_size=userblock
        )
    except OSError as error:
        raise _failed(path, error) from error
    try:
        with _lost() as lost:
            yield Writer(file, packing)
            file.close()
        if lost:
            raise lost[0]
    except (OSError, RuntimeError) as error:
        _abandon(file, error)
        if isinstance(error, RuntimeError) and not from_hdf5(error) or _while_reading(error):
            raise  # a bug; or the reader of that file names it
        failed = _failed(path, error)
        _abandoned.append(failed)  # its frames hold what the caller still has of the file
        raise failed from error
    except BaseException as error:
        _abandon(file, error)
        raise
    if preamble:
        with open(path, "r+b") as image:
            image.write(preamble.ljust(512, b"\0"))
    trailer.append(path)


def _failed(path: Path, error: Exception) -> MachineError:
    inner = re.search(r"errno = (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(inner[1]) if inner else None)
    words = os.strerror(number).lower() if number else _line(error)
    return MachineError(f"cannot write in {path.parent}: {words}")


@contextlib.contextmanager
def _lost() -> Iterator[list[BaseException]]:
    """Errors of h5py while an object was freed, which Python prints and forgets: a chunk that could
    not be written then is missing in the file.
    """
    lost: list[BaseException] = []
    before, printed = sys.unraisablehook, sys.excepthook

    def hear(event: sys.UnraisableHookArgs) -> None:
        if isinstance(event.exc_value, OSError | RuntimeError) and "h5py" in str(event.object):
            lost.append(event.exc_value)
        else:
            before(event)

    sys.unraisablehook, sys.excepthook = hear, _hush
    try:
        yield lost
    finally:
        sys.unraisablehook, sys.excepthook = before, printed


def _hush(kind: type, value: BaseException, trace: TracebackType | None) -> None:
    """Cython prints such an error itself before it is heard; nothing else comes by here."""


_abandoned: list[BaseException] = []


def _abandon(file: h5py.File, error: BaseException) -> None:
    """Close what can be closed. After a full disk HDF5 refuses, and crashes when the objects are
    freed that it could not write: so they are kept, and `cli.main` leaves with `os._exit`.
    """
    try:
        file.close()
    except (OSError, RuntimeError, ValueError):
        _abandoned.append(error)


def _while_reading(error: Exception) -> bool:
    """Did HDF5 stumble over the bytes of an input, and not over a disk?"""
    words = str(error)
    if getattr(error, "errno", None) is not None or "write" in words:
        return False
    return any(what in words for what in ("read data", "during read", "copy object"))


def _packing(cells: Cells) -> dict[str, object]:
    """The compression of the source's X as options of h5py."""
    if not cells.has("X"):
        return {}
    item = cells.h5["X"]
    item = item["data"] if isinstance(item, h5py.Group) else item
    if item.compression == "gzip":
        return {
            "compression": "gzip",
            "compression_opts": min(item.compression_opts, _HARDEST),
            "shuffle": item.shuffle,
        }
    return {"compression": "lzf"} if item.compression == "lzf" else {}


def _is_table(item: h5py.Group | h5py.Dataset) -> bool:
    return str(item.attrs.get("encoding-type", "")) == "dataframe"


def _is_modern(item: h5py.Group | h5py.Dataset) -> bool:
    """A table that AnnData 0.8 and every later version reads."""
    if not isinstance(item, h5py.Group) or item.attrs.get("encoding-type", "") != "dataframe":
        return False
    if "__categories" in item:
        return False
    kinds = [item[name].attrs.get("encoding-type", "") for name in item]
    return "nullable-string-array" not in kinds


def upgrade_sparse(item: h5py.HLObject) -> None:
    """Name the encoding of a sparse matrix written by h5sparse, which new readers no longer know."""
    if isinstance(item, h5py.Group) and "h5sparse_format" in item.attrs:
        kind = item.attrs["h5sparse_format"]
        kind = kind.decode() if isinstance(kind, bytes) else kind
        item.attrs["encoding-type"] = f"{kind}_matrix"
        item.attrs["encoding-version"] = "0.1.0"
        item.attrs["shape"] = item.attrs["h5sparse_shape"]


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
