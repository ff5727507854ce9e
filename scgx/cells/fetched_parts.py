"""Datasets that are no single file of cells: a text matrix and its table, a Matrix Market folder.

What was downloaded is read from the cache, as packed as it came, and only the cells are written.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx import progress
from scgx.cells import joined, metadata
from scgx.datasets import _unpack
from scgx.datasets._cache import Entry
from scgx.datasets._dataset import File
from scgx.errors import DataError
from scgx.h5ad import mtx, mtx_names, streams, text
from scgx.h5ad.frame import Frame

_ROLES = ("matrix", "features", "barcodes")


@dataclass(frozen=True)
class Got:
    """A file of a dataset and where it lies in the cache."""

    file: File
    entry: Entry


def of_text(got: Sequence[Got], made: Path, name: str, memory: int) -> None:
    """A genes x cells text (UCSC's exprMatrix) and the table of its cells, as the h5ad `made`.

    A table of fewer cells, or in another order, is joined by name; how many lack a row is said.
    """
    paths = _paths(got)
    matrix = paths.get("matrix", got[0].entry.path)
    text.to_h5ad(matrix, made, memory=memory, name=name, obs=_table(paths.get("meta"), name))


def of_mtx(got: Sequence[Got], made: Path, name: str, memory: int) -> None:
    """A matrix with its features and barcodes, as three files or as a folder in a tar, as `made`."""
    paths = _paths(got)
    obs = _table(paths.get("meta"), name)
    with contextlib.ExitStack() as spools:
        if got[0].file.format == "tar.gz":
            folder = streams.tmpdir()
            paths = {role: spools.enter_context(streams.temporary(folder)) for role in _ROLES}
            _unpack.tar_members(got[0].entry.path, got[0].file, paths, label=name)
        if not set(_ROLES) <= set(paths):
            raise DataError(f"has no {', '.join(set(_ROLES) - set(paths))}", file=name)
        files = mtx_names.Files(*(paths[role] for role in _ROLES))
        mtx.write_mtx(files, name, memory, made, obs=obs)


def _paths(got: Sequence[Got]) -> dict[str, Path]:
    return {one.file.part: one.entry.path for one in got}


def _table(meta: Path | None, name: str) -> Callable[[np.ndarray], Frame] | None:
    """What makes obs out of the names of the cells and a table about them."""
    if meta is None:
        return None
    table = metadata.read(meta, f"{name}: meta")

    def obs(names: np.ndarray) -> Frame:
        found = metadata.find(names, table, f"{name}: meta")
        progress.say(joined.describe(found, f"{name}: meta"))
        return found.frame

    return obs
