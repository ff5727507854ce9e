"""Arrays with a row per cell beside X: what lies in obsm."""

from __future__ import annotations

import h5py
import numpy as np

from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells


def rows_of(cells: Cells, key: str, start: int, stop: int) -> np.ndarray:
    """Rows start..stop of a dense array such as obsm/X_pca, (stop - start, width)."""
    item = cells.h5.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or item.ndim != 2:
        raise DataError(f"has no table of numbers {key}", file=cells.name)
    if item.shape[0] != cells.n_obs:
        raise InputError(
            f"{key} has {item.shape[0]:,} rows for {cells.n_obs:,} cells", file=cells.name
        )
    try:
        found = item[start:stop]
    except (OSError, RuntimeError) as error:
        raise InputError(f"corrupt: {str(error).splitlines()[0][:100]}", file=cells.name) from error
    return np.asarray(found)
