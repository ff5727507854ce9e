"""Do the parts of a file have as many rows as it has cells and features? Read from headers alone.

A table of another length than X is the mark of a file that was written by halves; what is copied
verbatim would carry that on.
"""

from collections.abc import Iterator

import h5py

from scgx.errors import InputError

_AXES = {
    "X": ("obs", "var"),
    "layers": ("obs", "var"),
    "obsm": ("obs",),
    "varm": ("var",),
    "obsp": ("obs", "obs"),
    "varp": ("var", "var"),
}


def check(group: h5py.Group, name: str) -> None:
    """InputError for a matrix or table (X, layers, obsm ... raw) of another length than obs or var."""
    extents = {axis: _extent(group[axis])[:1] for axis in ("obs", "var")}
    for where, item in _parts(group):
        axes = _AXES[where.partition("/")[0]]
        wanted = [n for axis in axes for n in extents[axis]]
        found = _extent(item)[: len(axes)]
        if len(wanted) == len(axes) == len(found) and found != wanted:
            what = f"{where} is {_times(found)} where {' x '.join(axes)} is {_times(wanted)}"
            raise InputError(what, fix="the file is corrupt", file=name)
    raw = group.get("raw")
    rows = _extent(raw["X"])[:1] if isinstance(raw, h5py.Group) and "X" in raw else []
    if rows and extents["obs"] and rows != extents["obs"]:
        what = f"raw/X has {rows[0]:,} rows where obs has {extents['obs'][0]:,}"
        raise InputError(what, fix="the file is corrupt", file=name)


def _parts(group: h5py.Group) -> Iterator[tuple[str, h5py.HLObject]]:
    if "X" in group:
        yield "X", group["X"]
    for key in _AXES:
        parent = group.get(key)
        if key != "X" and isinstance(parent, h5py.Group):
            for inner in parent:
                yield f"{key}/{inner}", parent[inner]


def _times(numbers: list[int]) -> str:
    return " x ".join(f"{n:,}" for n in numbers)


def _extent(item: h5py.HLObject) -> list[int]:
    """The lengths that a header declares: of an array, a sparse matrix, a table; [] when unknown."""
    if isinstance(item, h5py.Dataset):
        return list(item.shape or ())
    shape = item.attrs.get("shape", item.attrs.get("h5sparse_shape"))
    if shape is not None:
        return [int(n) for n in shape]
    index = item.attrs.get("_index", "_index")
    index = index.decode() if isinstance(index, bytes) else str(index)
    for key in (index, "index", "codes", "values"):
        if isinstance(item, h5py.Group) and key in item:
            return _extent(item[key])
    return []
