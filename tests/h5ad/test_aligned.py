"""Rows of several matrices together: the same values however they are stored, ordered or cut."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from scgx.h5ad.aligned import Source, rows_per_block, together
from scgx.h5ad.reader import open_cells

VALUES = np.random.default_rng(0).poisson(0.5, (301, 17)).astype(np.float32)


def write(path: Path, kind: type) -> Path:
    cells = anndata.AnnData(kind(VALUES))
    cells.layers["double"] = sp.csr_matrix(2 * VALUES)
    cells.obs_names = [f"c{i}" for i in range(301)]
    cells.var_names = [f"G{i}" for i in range(17)]
    cells.write_h5ad(path)
    return path


def values(block: object) -> np.ndarray:
    return block.toarray() if sp.issparse(block) else np.asarray(block)


ORDERS = {
    "all": None,
    "some": np.arange(3, 300, 4),
    "mixed": np.random.default_rng(1).permutation(301),
    "few mixed": np.random.default_rng(2).permutation(301)[:50],
}


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("memory", [4_000, 1 << 20, 1 << 30])
def test_the_same_rows_of_every_source_come_together(kind, order, memory, tmp_path):
    rows = ORDERS[order]
    columns = np.array([1, 4, 16])
    wanted = VALUES if rows is None else VALUES[rows]
    with open_cells(write(tmp_path / "a.h5ad", kind)) as cells:
        sources = [Source(cells, "X", rows), Source(cells, "layers/double", rows, columns)]
        pairs = [(values(x), values(y)) for x, y in together(sources, memory)]
        size = rows_per_block(sources, memory)
    assert np.array_equal(np.vstack([x for x, _ in pairs]), wanted)
    assert np.array_equal(np.vstack([y for _, y in pairs]), 2 * wanted[:, columns])
    assert all(len(x) == len(y) for x, y in pairs)
    assert max(len(x) for x, _ in pairs) <= size
