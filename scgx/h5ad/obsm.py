"""Arrays of obsm as matrices of features: their names, and tables as numbers."""

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import as_strings, read_column, read_frame


def features_of(cells: Cells, key: str) -> np.ndarray:
    """Names of the columns of "obsm/KEY": its own where it is a table, else uns["KEY_var_names"], else
    KEY_0, KEY_1, ...; object (n,).
    """
    item = cells.h5[key]
    with cells.naming():
        if _is_table(item):
            return np.array(list(read_frame(item).columns), dtype=object)
        width = cells.matrix(key).shape[1]
        name = key.removeprefix("obsm/")
        found = cells.h5.get(f"uns/{name}_var_names")
        if isinstance(found, h5py.Dataset) and found.shape == (width,):
            return as_strings(read_column(found))
    return np.array([f"{name}_{i}" for i in range(width)], dtype=object)


def table_of(cells: Cells, key: str) -> sparse.csr_array | None:
    """A table in obsm as CSR float32; None where "obsm/KEY" is an array or a matrix."""
    item = cells.h5[key]
    if not _is_table(item):
        return None
    with cells.naming():
        frame = read_frame(item)
        columns = [frame.numbers(name) for name in frame.columns]
    return sparse.csr_array(np.stack(columns, axis=1).astype(np.float32))


def places_of(cells: Cells, key: str) -> np.ndarray:
    """A dense array of places, "obsm/KEY" (n_obs, d) or "varm/KEY" (n_var, d), as float64.

    InputError where it is none, or holds what is not finite.
    """
    item = cells.h5[key]
    n = cells.n_obs if key.startswith("obsm/") else cells.n_var
    with cells.naming():
        if not isinstance(item, h5py.Dataset) or item.ndim != 2 or item.shape[0] != n:
            raise InputError(f"{key} is no array of places", file=cells.name)
        places = np.asarray(item[()], dtype=np.float64)
    if not np.isfinite(places).all():
        raise InputError(f"{key} has values that are not finite", file=cells.name)
    return places


def _is_table(item: h5py.Group | h5py.Dataset) -> bool:
    return isinstance(item, h5py.Group) and "data" not in item
