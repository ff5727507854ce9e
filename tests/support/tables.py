"""A file of cells as it lies in memory, to be changed and written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

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
