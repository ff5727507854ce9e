"""Cells on disk: the shape and names of an open file, and its rows as they are asked for.

Nothing is read that is not asked for, and nothing before the file is known to be safe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import scipy

from scgx.cluster.work import sharing
from scgx.errors import DataError, InputError, MachineError, ScgxError, UsageError
from scgx.h5ad import heaps, safety, trailer
from scgx.h5ad.blocks import Block
from scgx.h5ad.encoding import index_of, read_column, read_frame, read_value, rows_of_frame
from scgx.h5ad.frame import Column, Frame, length
from scgx.h5ad.matrix import Matrix
from scgx.registry import suggest

ALIGNED = ("layers", "obsm", "varm", "obsp", "varp")


class Cells:
    """An open AnnData: cells x features. Made by `open_cells`; a context manager."""

    kind = "h5ad"  # of the file that was opened: 10x, mtx, loom ...

    def __init__(self, group: h5py.Group, name: str, memory: int, fingerprint: str = "") -> None:
        self.h5 = group
        self.name = name
        self.memory = memory
        self.fingerprint = fingerprint
        self.again: tuple[Callable[..., Cells], str, str] | None = None  # how, path, identity
        self.keeps: object = None  # what is to live as long as this
        for key in ("obs", "var"):
            if key not in group:
                raise InputError(f"has no {key}: it is HDF5 but no AnnData", file=name)

    def __reduce__(self) -> tuple[Callable[..., Cells], tuple[object, ...]]:
        """To another process a file goes as its path; `again` is how it is opened there."""
        if self.again is None:
            raise TypeError(f"{self.name} cannot be opened again")
        how, path, identity = self.again
        return how, (path, self.name, self.memory // sharing(), identity)

    def _frame(self, key: str) -> Frame:
        with _naming(self.name):
            item, uns = self.h5[key], self.h5.get("uns")
            return read_frame(item, uns if isinstance(uns, h5py.Group) else None)

    @cached_property
    def obs(self) -> Frame:
        """The table of cells."""
        return self._frame("obs")

    @cached_property
    def var(self) -> Frame:
        """The table of features."""
        return self._frame("var")

    def column(self, name: str) -> Column:
        """One column of obs, the others left on disk; DataError where there is none."""
        item = self.h5["obs"]
        if "obs" in self.__dict__ or isinstance(item, h5py.Dataset):
            return self.obs[name]
        if name not in self.columns:
            raise DataError(f"no column {name!r}", fix=suggest(name, self.columns), file=self.name)
        with _naming(self.name):
            column = read_column(item[name])
        if length(column) != self.n_obs:
            raise InputError(
                f"/obs/{name} has {length(column):,} values for {self.n_obs:,} names",
                file=self.name,
            )
        return column

    @property
    def columns(self) -> list[str]:
        """Names of the columns of obs, which are not read."""
        item = self.h5["obs"]
        if "obs" in self.__dict__ or isinstance(item, h5py.Dataset):
            return list(self.obs.columns)
        return [name for name in item if name not in (index_of(item), "__categories")]

    def naming(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what goes wrong names this file."""
        return _naming(self.name)

    @property
    def obs_names(self) -> np.ndarray:
        """Names of the cells (barcodes)."""
        return self.obs.index

    @property
    def var_names(self) -> np.ndarray:
        """Names of the features."""
        return self.var.index

    @cached_property
    def raw_names(self) -> np.ndarray:
        """Names of the features of raw/X, which may be more than those of X; empty without raw."""
        if "raw/var" not in self.h5:
            return np.empty(0, dtype=object)
        with _naming(self.name):
            return read_frame(self.h5["raw/var"]).index

    @cached_property
    def n_obs(self) -> int:
        """Number of cells."""
        with _naming(self.name):
            return len(self.obs) if "obs" in self.__dict__ else rows_of_frame(self.h5["obs"])

    @property
    def n_var(self) -> int:
        """Number of features."""
        return len(self.var)

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, features)."""
        return self.n_obs, self.n_var

    @cached_property
    def scgx(self) -> dict[str, object]:
        """What earlier commands wrote into uns["scgx"]."""
        uns = self.h5.get("uns")
        if not isinstance(uns, h5py.Group) or not isinstance(uns.get("scgx"), h5py.Group):
            return {}
        with _naming(self.name):
            value = read_value(uns["scgx"])
        return value if isinstance(value, dict) else {}

    def keys(self, group: str) -> list[str]:
        """Names in `layers`, `obsm`, `varm`, `obsp`, `varp` or `uns`; empty where absent."""
        item = self.h5.get(group)
        return list(item) if isinstance(item, h5py.Group) else []

    def has(self, key: str) -> bool:
        """Is there such a matrix ("X", "layers/counts", "raw/X")?"""
        return key in self.h5 and (key != "X" or not _is_null(self.h5[key]))

    def matrix(self, key: str = "X") -> Matrix:
        """A matrix by its place. "raw/X" has its own features."""
        if not self.has(key):
            layers = ", ".join(self.keys("layers")) or "none"
            raise DataError(f"has no {key}", fix=f"layers here: {layers}", file=self.name)
        shape = self.shape
        if key == "raw/X":
            shape = (self.n_obs, len(read_frame(self.h5["raw/var"])))
        elif key.startswith("obsm/"):
            shape = (self.n_obs, _width(self.h5[key]))
        with _naming(self.name):
            return Matrix(self.h5[key], shape, key, self.name)

    def blocks(
        self,
        key: str = "X",
        *,
        memory: int | None = None,
        rows: np.ndarray | None = None,
        columns: np.ndarray | None = None,
    ) -> Iterator[Block]:
        """Rows in order in blocks that fit the budget; only `rows` (sorted) where given."""
        matrix = self.matrix(key)
        budget = min(memory or self.memory // 4, 256 << 20)
        with _naming(self.name):
            if rows is None:
                yield from matrix.blocks(budget, columns)
                return
            done = 0
            for start, stop in matrix.plan(budget):
                lo, hi = np.searchsorted(rows, [start, stop])
                if hi > lo:
                    block = matrix.slice(start, stop, columns)[rows[lo:hi] - start]
                    yield Block(done, block)
                    done += int(hi - lo)

    def rows(
        self, key: str, rows: np.ndarray, columns: np.ndarray | None = None
    ) -> scipy.sparse.csr_array | np.ndarray:
        """Any rows in the order given."""
        with _naming(self.name):
            block = self.matrix(key).take(rows)
        whole = columns is None or np.array_equal(columns, np.arange(block.shape[1]))
        return block if whole else block[:, columns]

    def require_unique(self, *axes: str) -> None:
        """Refuse duplicate or empty names where a command pairs by name."""
        for axis in axes or ("obs", "var"):
            names = self.obs_names if axis == "obs" else self.var_names
            unique, counts = np.unique(names.astype(str), return_counts=True)
            bad = unique[(counts > 1) | (unique == "")]
            if len(bad):
                shown = ", ".join(map(repr, bad[:3].tolist()))
                raise DataError(
                    f"{len(bad):,} {axis} names are empty or occur more than once: {shown}",
                    fix=f"make them unique first (AnnData: {axis}_names_make_unique)",
                    file=self.name,
                )


OPTIONS = {"rdcc_nbytes": 1 << 20, "locking": False}


@contextlib.contextmanager
def open_hdf5(path: Path, memory: int, name: str) -> Iterator[h5py.File]:
    """An HDF5 file, inspected before use; errors of HDF5 while it is open are named."""
    if trailer.check(path).state != "whole":
        heaps.check(path, name)
    try:
        file = h5py.File(path, "r", **OPTIONS)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"HDF5 cannot open it: {_line(error)}", file=name) from None
    with file, _naming(name):
        safety.inspect(file, memory, name)
        yield file


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """HDF5's own errors become one line that names the file; ours get the file if they lack it."""
    try:
        yield
    except (MachineError, UsageError):
        raise  # about the output or the command line, and not about this file
    except ScgxError as error:
        error.file = error.file or name
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        words = _line(error)
        if from_hdf5(error):
            raise InputError(f"corrupt: {words}", file=name) from error
        raise


def from_hdf5(error: BaseException) -> bool:
    """Was it raised inside h5py, reading?"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    inside = trace is not None and "h5py" in trace.tb_frame.f_code.co_filename
    return inside or str(error).startswith(("Can't", "Unable to", "Can't synchronously"))


def _width(item: h5py.Group | h5py.Dataset) -> int:
    """Columns of an array or a sparse matrix."""
    shape = item.shape if isinstance(item, h5py.Dataset) else item.attrs.get("shape", ())
    return int(shape[1]) if len(shape) == 2 else -1


def _is_null(item: h5py.HLObject) -> bool:
    return item.attrs.get("encoding-type", "") == "null" or getattr(item, "shape", 0) is None


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
