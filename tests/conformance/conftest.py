"""Demo cells for the suites that every plugin must pass; each made once per test process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse

import scgx
from scgx import progress
from scgx.h5ad import writer
from scgx.h5ad.frame import Frame
from scgx.h5ad.reader import open_cells


class Table(NamedTuple):
    """A file of cells as it lies in memory; X is dense."""

    X: np.ndarray
    obs: Frame
    var: Frame


Change = Callable[[Table], Table]


def read(path: Path) -> Table:
    """Everything that the suites change or compare."""
    with open_cells(path) as cells:
        blocks = [b.X.toarray() if sparse.issparse(b.X) else b.X for b in cells.blocks("X")]
        return Table(np.vstack(blocks), cells.obs, cells.var)


def rewrite(source: Path, target: Path, change: Change) -> Path:
    """The same file with its X, obs or var changed; uns is kept."""
    table = change(read(source))
    with open_cells(source) as cells, writer.create(target) as out:
        out.frame("obs", table.obs)
        out.frame("var", table.var)
        with out.matrix("X", len(table.var), table.X.dtype) as append:
            append(sparse.csr_array(table.X))
        out.copy_rest(cells)
    return target


@pytest.fixture(autouse=True)
def _quiet() -> None:
    progress.configure(quiet=True)


def drawn(folder: Path, *, cells: int, genes: int, peaks: int) -> Path:
    """Demo cells, split by cell and type (donors in all parts: the suites look for signal)."""
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    scgx.fetch("demo", output=str(whole), cells=cells, genes=genes, peaks=peaks, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    return parted


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells for questions of identity: the smaller the better."""
    return drawn(tmp_path_factory.mktemp("small"), cells=150, genes=20, peaks=60)


@pytest.fixture(scope="session")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with enough signal per feature that every honest model finds it."""
    return drawn(tmp_path_factory.mktemp("telling"), cells=1600, genes=24, peaks=120)
