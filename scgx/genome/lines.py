"""The text of an annotation as whole lines, plain or gzip, fast, with one clear line when it is
damaged.

Lines are handed out in blocks, because a search through a block of bytes costs a tenth of a loop
over its lines. Numbers of lines are counted only when one has to be named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, NoReturn, cast

from isal import igzip, igzip_threaded, isal_zlib

from scgx.errors import InputError

_CHUNK = 4 << 20
_LONGEST_LINE = 64 << 20
_DAMAGED = (EOFError, igzip.BadGzipFile, cast("type[Exception]", isal_zlib.error))
_BOM = b"\xef\xbb\xbf"
_KINDS = {
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}


@dataclass
class Annotated:
    """Genes as they are gathered from a file: lists of equal length, 0-based half-open."""

    gene_id: list[str] = field(default_factory=list)
    gene_name: list[str] = field(default_factory=list)
    chrom: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    strand: list[str] = field(default_factory=list)
    one_based: bool = False


class Place(NamedTuple):
    """Where a block of lines begins in the unpacked text, so that an error can name the line."""

    path: Path
    name: str
    offset: int = 0

    def refuse(self, what: str, *, at: int = 0, fix: str | None = None) -> NoReturn:
        """Raise an `InputError` about the line that holds byte `at` of this block."""
        number = _newlines(self.path, self.offset + at) + 1
        raise InputError(f"line {number}: {what}", fix=fix, file=self.name)


def blocks(path: str | Path, name: str) -> Iterator[tuple[Place, bytes]]:
    """Blocks of whole lines of a plain or gzip file, the last one with its newline added.

    A gzip stream that ends early or is corrupt is an `InputError` with the line where it stops.
    """
    path = Path(path)
    rest = b""
    offset = 0
    with _open(path) as file:
        while chunk := _read(file, Place(path, name, offset)):
            text = rest + chunk
            if offset == 0 and text.startswith(_BOM):
                text, offset = text[len(_BOM) :], len(_BOM)
            cut = text.rfind(b"\n") + 1
            if cut == 0 and len(text) > _LONGEST_LINE:
                raise InputError("a line longer than 64 MB; is this text?", file=name)
            if cut:
                yield Place(path, name, offset), text[:cut]
            offset += cut
            rest = text[cut:]
    if rest:
        yield Place(path, name, offset), rest + b"\n"


def numbered(path: str | Path, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, as text without line ends; UTF-8, else Latin-1."""
    number = 0
    for _, block in blocks(path, name):
        for line in decode(block).split("\n")[:-1]:
            number += 1
            yield number, line.removesuffix("\r")


def head(path: str | Path, name: str) -> list[str]:
    """The first lines, or an `InputError` that says in words what the file is instead of text."""
    with _open(Path(path)) as file:
        start = _read(file, Place(Path(path), name), 1 << 18)
    for magic, words in _KINDS.items():
        if start.startswith(magic):
            raise InputError(f"{words}, not an annotation", fix="give a GTF or BED", file=name)
    if start[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError("an HTML page, not an annotation", fix="download it again", file=name)
    if not start.strip():
        raise InputError("empty", fix="give a GTF or BED", file=name)
    if b"\0" in start:
        raise InputError("binary data, not an annotation", fix="give a GTF or BED", file=name)
    whole = start if len(start) < 1 << 18 else start[: start.rfind(b"\n") + 1]
    return decode(whole).removeprefix("\ufeff").replace("\r\n", "\n").split("\n")


def decode(text: bytes) -> str:
    """UTF-8, else Latin-1: names of genes are ASCII, notes beside them may be anything."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _open(path: Path) -> IO[bytes]:
    if _packed(path):
        return igzip_threaded.open(path, "rb", threads=1)  # unpacks while we search
    return path.open("rb")


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read(file: IO[bytes], place: Place, size: int = _CHUNK) -> bytes:
    try:
        return file.read(size)
    except _DAMAGED as error:
        number = _newlines(place.path, None) + 1
        words = "truncated" if isinstance(error, EOFError) else f"corrupt ({error})"
        raise InputError(
            f"gzip data is {words} at line {number}", fix="download it again", file=place.name
        ) from None


def _newlines(path: Path, until: int | None) -> int:
    """Newlines before a byte of the unpacked text, or before the place where it is damaged."""
    count = seen = 0
    with igzip.open(path, "rb") if _packed(path) else path.open("rb") as file:
        while until is None or seen < until:
            try:
                chunk = file.read(1 << 16 if until is None else min(1 << 20, until - seen))
            except _DAMAGED:
                return count
            if not chunk:
                break
            count += chunk.count(b"\n")
            seen += len(chunk)
    return count
