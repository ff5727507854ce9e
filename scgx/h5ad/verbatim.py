"""What is copied as it is, looked at first as far as that costs next to nothing.

HDF5 copies an object without a look at its values, and a broken table or matrix would be signed as
whole. So columns are as long as their table and codes name a category; row offsets of sparse matrices
rise to the number of stored entries. Strings and stored entries are not read.
"""

from __future__ import annotations

import h5py
import numpy as np

from scgx.errors import InputError
from scgx.h5ad.encoding import check_codes, rows_of_column, rows_of_frame
from scgx.h5ad.matrix import Matrix, kind_of


def check(item: h5py.HLObject, where: str, file: str) -> None:
    """InputError for a table or a sparse matrix, here or below, that contradicts itself."""
    if not isinstance(item, h5py.Group) or where == "uns":
        return
    if {"data", "indices", "indptr"} <= set(item):
        _, shape = kind_of(item, where)
        _ = Matrix(item, shape, where, file).indptr
    elif str(item.attrs.get("encoding-type", "")) == "dataframe":
        _table(item, file)
    else:
        for name in item:
            check(item[name], f"{where}/{name}", file)


def _table(item: h5py.Group, file: str) -> None:
    rows = rows_of_frame(item)
    for name in item:
        column = item[name]
        if name != "__categories" and (found := rows_of_column(column)) != rows:
            what = f"{item.name}/{name} has {found:,} values for {rows:,} names"
            raise InputError(what, file=file)
        if isinstance(column, h5py.Group) and {"codes", "categories"} <= set(column):
            check_codes(
                np.asarray(column["codes"][()]), rows_of_column(column["categories"]), column
            )
