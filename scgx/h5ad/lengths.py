"""Do the parts of a file have as many rows as it has cells and features? Read from headers alone.

A table of another length than X is the mark of a file that was written by halves; what is copied
verbatim would carry that on.
"""

import h5py

from scgx.errors import InputError

_AXES = {"obsm": ("obs",), "varm": ("var",), "obsp": ("obs", "obs"), "varp": ("var", "var")}


def check(group: h5py.Group, name: str) -> None:
    """InputError for an aligned array (layers, obsm, varm, obsp, varp, raw) of another length."""
    expected = {"obs": _extent(group["obs"])[:1], "var": _extent(group["var"])[:1]}
    for key, axes in {"layers": ("obs", "var"), **_AXES}.items():
        parent = group.get(key)
        for inner in parent if isinstance(parent, h5py.Group) else ():
            wanted = [n for axis in axes for n in expected[axis]]
            found = _extent(parent[inner])[: len(axes)]
            if len(wanted) == len(axes) == len(found) and found != wanted:
                what = f"{key}/{inner} is {_times(found)} where {' x '.join(axes)} is"
                raise InputError(f"{what} {_times(wanted)}", fix="the file is corrupt", file=name)
    raw = group.get("raw")
    if isinstance(raw, h5py.Group) and "X" in raw:
        rows = _extent(raw["X"])[:1]
        if rows and expected["obs"] and rows != expected["obs"]:
            raise InputError(
                f"raw/X has {rows[0]:,} rows where obs has {expected['obs'][0]:,}", file=name
            )


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
