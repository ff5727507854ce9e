"""What a server sent, told from its first bytes: data, or a page that says why there are none.

Challenge pages, login pages, JSON errors and Git-LFS pointers arrive with status 200 and under the
name of the data; they are refused in words, so that they never lie in a cache.
"""

from scgx.errors import InputError, UnsafeError

HDF5 = b"\x89HDF\r\n\x1a\n"
GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
_MUDATA = b"MuData"  # an HDF5 file behind a block of 512 bytes
_MAGIC = {"h5ad": (HDF5,), "10x": (HDF5,), "h5mu": (HDF5, _MUDATA), "zip": (ZIP,)}
HEAD = 512


def refuse(head: bytes, format: str, source: str) -> None:
    """Raise when the first bytes (up to 512) cannot be the format that was asked for.

    `format` is that of the registry, or "" for an address of which nothing is known. `InputError`
    for pages, pointers and other formats; `UnsafeError` for a pickle.
    """
    found = describe(head)
    if found == "a pickle":
        raise UnsafeError("is a pickle, which could run code", fix="ask for h5ad", file=source)
    wanted = (GZIP,) if format.endswith(".gz") else _MAGIC.get(format)
    if wanted is not None and head.startswith(wanted):
        return
    if found in ("JSON", "an XML page") and format == "json":
        return
    if found in _PAGES:
        raise InputError(f"the server sent {found} and no data", fix=_PAGES[found], file=source)
    if wanted is not None:
        raise InputError(f"the server sent {found} and not {format}", file=source)


_PAGES = {
    "nothing": "try again later, or get the file by hand: --from-file",
    "a web page": "open it in a browser; a file got by hand goes in with --from-file",
    "an XML page": "open it in a browser; a file got by hand goes in with --from-file",
    "JSON": "it may be an error message; a file got by hand goes in with --from-file",
    "a Git-LFS pointer": "the data lie in the LFS store; ask for the media address",
}


def describe(head: bytes) -> str:
    """A few words for the first bytes of anything."""
    for magic, words in (
        (HDF5, "HDF5"),
        (_MUDATA, "HDF5"),
        (GZIP, "gzip"),
        (ZIP, "a zip archive"),
        (b"BZh", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
    ):
        if head.startswith(magic):
            return words
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    low = text[:64].lower()
    if not text:
        return "nothing"
    if low.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<body")):
        return "a web page"
    if low.startswith((b"<?xml", b"<error", b"<!--", b"<!doctype")):
        return "an XML page"
    if text.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer"
    if text.startswith((b"{", b"[")):
        return "JSON"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle"
    if b"\x00" not in head:
        return "text"
    return "data of an unknown kind"
