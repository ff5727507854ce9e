"""What a foreign HDF5 file may not do, found before anything is read.

Links out of the file, external storage and virtual datasets would put bytes of other files into the
result; a few kilobytes can declare terabytes, or unpack to them. All of that is in the headers, so it
is refused from the headers: no value is read here.
"""

import h5py

from scgx.errors import InputError, UnsafeError

MAX_OBJECTS = 10_000
MAX_DEPTH = 16
_SMALL = 64 << 20
_RATIO = 200
_READ_IN_BLOCKS = ("data", "indices")


def inspect(file: h5py.File, memory: int, name: str) -> None:
    """Walk the headers of a file; an `UnsafeError` names the object that is refused."""
    seen: set[object] = set()
    stack: list[tuple[h5py.Group, str, int]] = [(file, "", 0)]
    while stack:
        group, path, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise UnsafeError(f"groups are nested deeper than {MAX_DEPTH}", file=name)
        for key in _keys(group, path, name):
            where = f"{path}/{key}"
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UnsafeError(f"{where} is a link out of the file", file=name)
            if isinstance(link, h5py.SoftLink):
                raise UnsafeError(f"{where} is a soft link", fix="copy what it names", file=name)
            try:
                item = group[key]
            except (KeyError, OSError, RuntimeError, ValueError) as error:
                raise InputError(f"{where} cannot be opened: {_line(error)}", file=name) from None
            identity = h5py.h5o.get_info(item.id).addr
            if identity in seen:
                if isinstance(item, h5py.Group):
                    raise UnsafeError(f"{where} is reached twice (a link loop?)", file=name)
                continue
            seen.add(identity)
            if len(seen) > MAX_OBJECTS:
                raise UnsafeError(f"more than {MAX_OBJECTS:,} objects", file=name)
            if isinstance(item, h5py.Group):
                stack.append((item, where, depth + 1))
            elif isinstance(item, h5py.Dataset):
                _dataset(item, where, memory, name)


def _keys(group: h5py.Group, path: str, name: str) -> list[str]:
    try:
        return list(group)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path or '/'} cannot be read: {_line(error)}", file=name) from None


def _dataset(item: h5py.Dataset, where: str, memory: int, name: str) -> None:
    if item.is_virtual:
        raise UnsafeError(f"{where} is a virtual dataset (bytes of other files)", file=name)
    if item.external:
        raise UnsafeError(f"{where} keeps its bytes in another file", file=name)
    plist = item.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        code = plist.get_filter(i)[0]
        if not h5py.h5z.filter_avail(code):
            raise UnsafeError(f"{where} needs HDF5 filter {code}, which is not here", file=name)
    if item.dtype.kind == "O" and h5py.check_ref_dtype(item.dtype) is not None:
        raise UnsafeError(f"{where} holds references into the file", file=name)
    if item.dtype.kind == "V" and item.dtype.names is None and item.dtype.subdtype is None:
        raise UnsafeError(f"{where} holds opaque bytes", file=name)
    size, stored = item.size * item.dtype.itemsize if item.shape else 0, item.id.get_storage_size()
    if item.chunks:
        chunk = item.dtype.itemsize
        for edge in item.chunks:
            chunk *= edge
        if chunk > memory // 2 and size > _SMALL:
            raise UnsafeError(f"{where} has chunks of {chunk:,} bytes", fix=_more(), file=name)
    in_blocks = item.ndim == 2 or where.rsplit("/", 1)[-1] in _READ_IN_BLOCKS
    if in_blocks or size <= _SMALL:
        return
    if size > memory:
        raise UnsafeError(f"{where} declares {size:,} bytes", fix=_more(), file=name)
    if size > _RATIO * max(stored, 1):
        raise UnsafeError(f"{where} declares {size:,} bytes and stores {stored:,}", file=name)


def _more() -> str:
    return "raise --memory if you trust the file"


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0][:120]
