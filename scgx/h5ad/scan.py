"""Read every value of a file once, which is what finds a damaged chunk that no trailer would."""

import h5py
import numpy as np

_SLAB = 16 << 20


def scan(group: h5py.Group) -> None:
    """Read all datasets, a slab of rows at a time; HDF5 raises where a chunk is damaged."""
    for item in group.values():
        if isinstance(item, h5py.Group):
            scan(item)
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            _read(item)


def _read(item: h5py.Dataset) -> None:
    if not item.ndim:
        item[()]
        return
    row = item.dtype.itemsize * int(np.prod(item.shape[1:], dtype=np.int64))
    rows = max(1, _SLAB // max(1, row))
    for start in range(0, len(item), rows):
        item[start : start + rows]
