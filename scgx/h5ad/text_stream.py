"""The bytes of a text file, plain or packed, as blocks of whole lines.

gzip (several members too), bzip2 and zstd are unpacked in a thread while the block before is used; a
stream that was cut is an error and never an end. What a file is, its first bytes say and not its name.
"""

import bz2
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard
from isal import igzip
from isal.igzip_lib import IsalError

from scgx.errors import InputError, MachineError
from scgx.h5ad import sniff
from scgx.progress import warn

_HEAD = 4096
_SIP = 4096  # packed bytes at a time: of zstd, even a bomb makes no more than 128 MiB of these


def head(path: Path, name: str) -> bytes:
    """The first bytes of a file, unpacked if it is packed; fewer where it is shorter."""
    return next(chunks(path, name, _HEAD), b"")[:_HEAD]


def is_text(path: Path, name: str) -> bool:
    """Is it a text matrix, packed or not? Web pages, JSON and Matrix Market files are none."""
    if path.is_dir():
        return False
    try:
        return sniff.text_kind(head(path, name)) == "text"
    except InputError:
        return False  # whoever reads such files as cells will say what is wrong with it


def packing(path: Path) -> str:
    """`gzip`, `bzip2` or `zstd`; empty for what is not packed."""
    with open(path, "rb") as file:
        start = file.read(4)
    known = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "zstd": b"\x28\xb5\x2f\xfd"}
    return next((kind for kind, magic in known.items() if start.startswith(magic)), "")


def chunks(path: Path, name: str, size: int) -> Iterator[bytes]:
    """The unpacked bytes in pieces of about `size`."""
    kind = packing(path)
    try:
        with open(path, "rb", buffering=0) as file:
            if kind == "zstd":
                yield from _zstd(file, size)
                return
            stream: io.BufferedIOBase | io.RawIOBase = file
            if kind == "gzip":
                stream = igzip.IGzipFile(fileobj=file, mode="rb")
            elif kind == "bzip2":
                stream = bz2.BZ2File(file)
            while data := stream.read(size):
                yield data
    except EOFError:
        raise InputError(f"truncated: its {kind} stream has no end", file=name) from None
    except (zlib.error, zstandard.ZstdError, IsalError) as error:  # type: ignore[misc]
        raise InputError(f"its {kind} stream is damaged: {error}", file=name) from None
    except OSError as error:
        if kind and error.errno is None:
            raise InputError(f"its {kind} stream is damaged: {error}", file=name) from None
        raise


def _zstd(file: io.FileIO, size: int) -> Iterator[bytes]:
    """zstandard's own reader takes a cut stream for an end; its decompressor can be asked."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    parts: list[bytes] = []
    held, begun = 0, False
    while data := file.read(_SIP):
        while data:
            begun = True
            parts.append(frame.decompress(data))
            held += len(parts[-1])
            data = b""
            if frame.eof:
                data, begun = frame.unused_data, False
                frame = decompressor.decompressobj()
        if held >= size:
            yield b"".join(parts)
            parts, held = [], 0
    if begun:
        raise EOFError
    yield b"".join(parts)


class Lines(NamedTuple):
    """A block of whole lines: its bytes, how many rows go before it, and how many it holds."""

    block: bytes
    first: int
    n: int


def blocks(pieces: Iterator[bytes], line: int, memory: int, name: str) -> Iterator[Lines]:
    """Blocks of whole lines, each a small part of `memory` (bytes).

    `line` is the length of one: a block has some 32 of them, since for each block something is kept
    per column. Blank lines at the end of the file are dropped.
    """
    size = max(1 << 18, min(memory // 96, 4 << 20), min(32 * line, memory // 32))
    row, held = 0, b""
    for block in _lines(pieces, size, memory // 8, name):
        if not held and not block.endswith((b"\n\n", b"\n\r\n")) and len(block) > 2:
            yield Lines(block, row, n := _count(block))
            row += n
            continue
        held += block
        whole = held.rstrip(b"\r\n")
        if whole:
            yield Lines(whole + b"\n", row, n := _count(whole) + 1)
            row += n
            held = held[held.index(b"\n", len(whole)) + 1 :]


def _count(block: bytes) -> int:
    """The line feeds; bytes.count is several times as slow, and keeps the GIL."""
    return int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == 10))


def _lines(pieces: Iterator[bytes], size: int, most: int, name: str) -> Iterator[bytes]:
    """Blocks of whole lines, of about `size`, each ending in a line feed, the last one too.

    InputError (3) for a file whose lines have no end that fits into `most` bytes.
    """
    parts: list[bytes] = []
    held = 0
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1 if held + len(piece) >= size else 0
        if cut:
            parts.append(piece[:cut])
            yield b"".join(parts)
            parts, held = [], 0
        parts.append(piece[cut:])
        held += len(parts[-1])
        if held > most:
            raise too_long(most, name)
    rest = b"".join(parts)
    if rest and not rest.endswith(b"\n"):
        warn(f"{name}: the last line has no end: is the file whole?")
        rest += b"\n"
    if rest:
        yield rest


def too_long(most: int, name: str) -> MachineError:
    """The error for a line that the budget does not hold."""
    return MachineError(f"holds a line of over {most:,} bytes", fix="raise --memory", file=name)
