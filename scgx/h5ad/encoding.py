"""AnnData's encodings of tables and of `uns`, read and written with h5py.

Read: compound tables (0.5, 0.6), `__categories` (0.7), encoded groups (0.8 and later), nullable arrays
and nullable strings (0.13), what R writers make. Written: the 0.8 encodings and nothing newer, so that
AnnData 0.8 and every later version, and R, can open the file; never a nullable string, never None.
Spec: https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from collections.abc import Mapping

import h5py
import numpy as np

from scgx.errors import InputError
from scgx.h5ad.frame import Categorical, Column, Frame, Nullable

CHUNK_ELEMENTS = 65_536
_STRINGS = h5py.string_dtype("utf-8")


def read_frame(item: h5py.Group | h5py.Dataset, uns: h5py.Group | None = None) -> Frame:
    """obs or var in any layout that AnnData ever wrote."""
    if isinstance(item, h5py.Dataset):
        return _read_compound(item, uns)
    index_name = index_of(item)
    index = as_strings(read_column(item[index_name]))
    order = item.attrs.get("column-order", None)
    names = [name for name in item if name not in (index_name, "__categories")]
    if order is not None and len(order):
        order = [n.decode() if isinstance(n, bytes) else str(n) for n in order]
        names = [n for n in order if n in item] + [n for n in names if n not in order]
    columns: dict[str, Column] = {}
    for name in names:
        column = read_column(item[name])
        rows = len(column[0]) if isinstance(column, Categorical | Nullable) else len(column)
        if rows != len(index):
            raise InputError(f"{item.name}/{name} has {rows:,} values for {len(index):,} names")
        columns[name] = column
    return Frame(index, columns, index_name)


def rows_of_frame(item: h5py.Group | h5py.Dataset) -> int:
    """How many rows obs or var has, without reading them."""
    return rows_of_column(item[index_of(item)] if isinstance(item, h5py.Group) else item)


def rows_of_column(item: h5py.Group | h5py.Dataset) -> int:
    """How many values a column of any kind has, without reading them."""
    if isinstance(item, h5py.Group):  # a nullable or categorical one
        parts = [name for name in ("values", "codes") if name in item]
        if not parts:
            raise InputError(f"{item.name} is no column that AnnData writes")
        return rows_of_column(item[parts[0]])
    return int(item.shape[0]) if item.shape else 1


def index_of(item: h5py.Group) -> str:
    """Which of its arrays are the names of a table's rows."""
    name = item.attrs.get("_index", "_index")
    name = name.decode() if isinstance(name, bytes) else str(name)
    if name not in item:
        name = "index" if "index" in item else name
    if name not in item:
        raise InputError(f"{item.name} has no index", fix="is it AnnData?")
    return name


def read_column(item: h5py.Group | h5py.Dataset) -> Column:
    """One column of a table, or any encoded 1-D array."""
    if isinstance(item, h5py.Group):
        kind = _attribute(item, "encoding-type")
        if kind == "categorical" or {"codes", "categories"} <= set(item):
            codes, categories = item["codes"][()], read_column(item["categories"])
            return _categorical(codes, categories, bool(item.attrs.get("ordered", False)), item)
        if {"values", "mask"} <= set(item):
            values, mask = read_column(item["values"]), item["mask"][()].astype(bool)
            if isinstance(values, np.ndarray) and values.dtype == object:
                values = values.copy()
                values[mask] = None
                return values
            return Nullable(np.asarray(values), mask)
        raise InputError(f"{item.name} has the unknown encoding {kind!r}")
    categories = item.attrs.get("categories", None)
    if isinstance(categories, h5py.Reference):
        target = item.file[categories]
        ordered = bool(target.attrs.get("ordered", False))
        return _categorical(item[()], read_column(target), ordered, item)
    return _plain(item)


def _plain(item: h5py.Dataset) -> np.ndarray:
    if item.ndim > 1 and item.size != item.shape[0]:
        raise InputError(f"{item.name} has {item.ndim} dimensions where a column has one")
    if h5py.check_string_dtype(item.dtype) is not None or item.dtype.kind == "S":
        return _decode(np.atleast_1d(item[()]).ravel(), item.name)
    values = np.atleast_1d(item[()]).ravel()
    return values.astype(bool) if values.dtype == bool else values


def _decode(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.array(
            [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values.tolist()],
            dtype=object,
        )
    except UnicodeDecodeError:
        raise InputError(f"{name} holds text that is not UTF-8") from None


def _categorical(codes: np.ndarray, values: Column, ordered: bool, item: h5py.HLObject) -> Column:
    categories = np.asarray(values.values if isinstance(values, Nullable) else values)
    check_codes(codes, len(categories), item)
    codes = codes.astype(np.int64) if codes.dtype.kind == "u" else codes
    return Categorical(codes, categories, ordered)


def check_codes(codes: np.ndarray, categories: int, item: h5py.HLObject) -> None:
    """InputError for codes that are no integers or name none of so many categories; -1 is missing."""
    if codes.dtype.kind not in "iu" or codes.ndim != 1:
        raise InputError(f"{item.name} has codes that are no integers")
    if len(codes) and (int(codes.max()) >= categories or int(codes.min()) < -1):
        raise InputError(f"{item.name} has a code out of the range of its categories")


def _read_compound(item: h5py.Dataset, uns: h5py.Group | None) -> Frame:
    """A table of AnnData 0.5 or 0.6: one compound dataset, categories in uns."""
    if item.dtype.names is None:
        raise InputError(f"{item.name} is no table", fix="is it AnnData?")
    table, names = item[()], list(item.dtype.names)
    index_name = "index" if "index" in names else "_index" if "_index" in names else names[0]
    columns: dict[str, Column] = {}
    for name in names:
        values = table[name]
        if values.dtype.kind in "SO":
            values = _decode(values, f"{item.name}/{name}")
        key = f"{name}_categories"
        if uns is not None and key in uns and values.dtype.kind in "iu":
            values = _categorical(values, read_column(uns[key]), False, item)
        columns[name] = values
    index = as_strings(columns.pop(index_name))
    return Frame(index, columns)


def kept_in_uns(group: h5py.Group) -> list[str]:
    """Names in uns that are the categories of compound tables; spent once those are re-encoded."""
    tables = [group[key] for key in ("obs", "var", "raw.var") if key in group]
    columns = [c for t in tables if isinstance(t, h5py.Dataset) for c in t.dtype.names or ()]
    uns = group.get("uns")
    spent = [f"{column}_categories" for column in dict.fromkeys(columns)]
    return [name for name in spent if isinstance(uns, h5py.Group) and name in uns]


def as_strings(column: Column) -> np.ndarray:
    """An index as str whatever it was stored as (numbers, categories); nothing may be missing."""
    if isinstance(column, np.ndarray) and column.dtype == object and _all_str(column):
        return column
    words = Frame(np.empty(0, object), {"index": column}).strings("index")
    if any(word is None for word in words):
        raise InputError("a name in the index is missing")
    return words


def _all_str(values: np.ndarray) -> bool:
    return set(map(type, values.tolist())) <= {str}


def write_frame(group: h5py.Group, name: str, frame: Frame) -> None:
    """A Frame in the encoding of AnnData 0.8."""
    index_name = frame.index_name if frame.index_name not in frame.columns else "_index"
    item = group.create_group(name)
    item.attrs["_index"] = index_name
    item.attrs["column-order"] = np.array(list(frame.columns), dtype=_STRINGS)
    _mark(item, "dataframe", "0.2.0")
    write_column(item, index_name, frame.index)
    for column, values in frame.columns.items():
        write_column(item, column, values)


def write_column(group: h5py.Group, name: str, column: Column) -> None:
    """One column; text with missing values becomes a categorical, which every reader knows."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "OU":
        if any(value is None or value != value for value in column.tolist()):
            from scgx.h5ad.frame import categorical

            column = categorical(None if v is None or v != v else str(v) for v in column.tolist())
        else:
            item = group.create_dataset(name, data=column.astype(object), dtype=_STRINGS)
            _mark(item, "string-array", "0.2.0")
            return
    if isinstance(column, Categorical):
        item = group.create_group(name)
        _mark(item, "categorical", "0.2.0")
        item.attrs["ordered"] = bool(column.ordered)
        write_array(item, "codes", column.codes)
        write_column(item, "categories", column.categories)
    elif isinstance(column, Nullable):
        item = group.create_group(name)
        boolean = column.values.dtype == bool
        _mark(item, "nullable-boolean" if boolean else "nullable-integer", "0.1.0")
        write_array(item, "values", column.values)
        write_array(item, "mask", column.mask)
    else:
        write_array(group, name, column)


def write_array(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """A numeric array with checksums on its chunks (a scalar or an empty one without)."""
    values = np.asarray(values)
    options: dict[str, object] = {}
    if values.size:
        rows = max(1, CHUNK_ELEMENTS // max(1, int(np.prod(values.shape[1:], dtype=np.int64))))
        options = {"chunks": (min(rows, len(values)), *values.shape[1:]), "fletcher32": True}
    item = group.create_dataset(name, data=values, **options)
    _mark(item, "array", "0.2.0")


def read_value(item: h5py.Group | h5py.Dataset) -> object:
    """A value of our own part of uns: nested dicts, strings, arrays, numbers."""
    if isinstance(item, h5py.Group):
        return {name: read_value(item[name]) for name in item}
    if item.shape == ():
        value = item[()]
        return value.decode("utf-8") if isinstance(value, bytes) else value
    return _decode(item[()], item.name) if item.dtype.kind == "O" else item[()]


def write_value(group: h5py.Group, name: str, value: object) -> None:
    """A value of uns: dict, str, bool, number, array of numbers, list or array of str."""
    if isinstance(value, Mapping):
        if isinstance(group.get(name), h5py.Dataset):
            del group[name]
        item = group.require_group(name)
        _mark(item, "dict", "0.1.0")
        for key, inner in value.items():
            write_value(item, str(key), inner)
        return
    if name in group:
        del group[name]
    if isinstance(value, str):
        _mark(group.create_dataset(name, data=value, dtype=_STRINGS), "string", "0.2.0")
    elif isinstance(value, bool | int | float | np.generic):
        _mark(group.create_dataset(name, data=value), "numeric-scalar", "0.2.0")
    else:
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            write_column(group, name, array.astype(object))
        else:
            write_array(group, name, array)


def _mark(item: h5py.HLObject, kind: str, version: str) -> None:
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version


def _attribute(item: h5py.HLObject, name: str) -> str:
    value = item.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)
