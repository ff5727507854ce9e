"""What a file is, from its first bytes and never from its name; said in words when it is not ours."""

from pathlib import Path
from typing import TYPE_CHECKING

from scgx.errors import InputError, UnsafeError

if TYPE_CHECKING:
    import h5py

_HDF5 = b"\x89HDF\r\n\x1a\n"
_MTX = ("*.mtx", "*.mtx.gz", "*/*matrix.mtx", "*/*matrix.mtx.gz")  # a folder by genome, too
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}


def kind(path: Path, name: str) -> str:
    """`hdf5`, `gzip`, `mtx`, `zarr`, `zarr.zip`; anything else is refused with what it is in words."""
    if path.is_dir():
        if any((path / mark).exists() for mark in (".zgroup", ".zattrs", "zarr.json")):
            return "zarr"
        if any(next(path.glob(form), None) for form in _MTX):
            return "mtx"
        raise InputError("is a folder and no cells", file=name)
    with open(path, "rb") as file:
        head = file.read(4096)
    return classify(head, name)


def classify(head: bytes, name: str) -> str:
    """The kind of a file from its first bytes."""
    if head.startswith(_HDF5) or (head.startswith(b"MuData") and head[512:520] == _HDF5):
        return "hdf5"
    packed = next((word for magic, word in _PACKED.items() if head.startswith(magic)), None)
    if packed == "gzip":
        return "gzip"
    if packed == "zip":
        return "zarr.zip"
    if packed:
        raise InputError(f"is {packed}-compressed", fix=f"unpack it with {packed} -d", file=name)
    words = text_kind(head)
    if words == "Matrix Market text":
        return "mtx"
    if words == "a pickle":
        raise UnsafeError("is a pickle, which could run code", fix="write h5ad", file=name)
    raise InputError(f"is {words} and not h5ad", fix=_FIX.get(words), file=name)


_FIX = {
    "text": "scgx transpose makes h5ad of a matrix of text",
    "a Git-LFS pointer": "run git lfs pull",
    "a web page": "the download failed or needs a login",
    "a cut HDF5 file": "the file is truncated",
}


def text_kind(head: bytes) -> str:
    """A few words for what is not binary data of ours."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    low = start[:64].lower()
    if not start:
        return "empty"
    if _HDF5.startswith(head[:8]):
        return "a cut HDF5 file"
    if low.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if start.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer"
    if low.startswith(b"%%matrixmarket"):
        return "Matrix Market text"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a pickle"
    if low.startswith((b"{", b"[")):
        return "JSON"
    printable = sum(c >= 32 or c in (9, 10, 13) for c in head)
    if b"\x00" not in head and printable > 0.95 * len(head):
        return "text"
    return "binary data of an unknown kind"


def hdf5_kind(file: "h5py.File") -> str:
    """`h5ad`, `h5mu`, `10x`, `loom` or `zarr`-less HDF5, from the names at its root."""
    keys = set(file)
    if "mod" in keys:
        return "h5mu"
    if {"obs", "var"} <= keys:
        return "h5ad"
    if "matrix" in keys and {"row_attrs", "col_attrs"} <= keys:
        return "loom"
    if "matrix" in keys and "barcodes" in file["matrix"]:
        return "10x"
    groups = [key for key in keys if hasattr(file[key], "keys")]
    if groups and all("barcodes" in file[key] and "genes" in file[key] for key in groups):
        return "10x"
    return "h5ad"
