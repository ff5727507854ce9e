"""The few bytes after an HDF5 image by which a whole file is told from a cut or a damaged one.

As BAM has its EOF block: `\\nSCGX-EOF\\x01`, the xxh3-128 of everything before, and its length. Every
HDF5 reader ignores what follows the image. A tool that edits the file in place drops the trailer;
that makes the file unsigned, which is never an error.

    offset  bytes  what
    0       10     marker
    10      16     xxh3-128 of the image, big-endian (its canonical form)
    26      8      length of the image in bytes, little-endian
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import xxhash

from scgx.errors import InputError

MARKER = b"\nSCGX-EOF\x01"
SIZE = len(MARKER) + 16 + 8
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CHUNK = 1 << 20
_SMALL = 64 << 20  # hashed in some 20 ms


class Verdict(NamedTuple):
    """`whole`, `unsigned`, `truncated` or `corrupt`, with words."""

    state: str
    detail: str


def append(path: Path) -> str:
    """Sign a finished file; returns its hash in hex."""
    digest, length = _hash(path, None, None)
    with open(path, "ab") as file:
        file.write(MARKER + digest + length.to_bytes(8, "little"))
    return digest.hex()


def read(path: Path) -> tuple[str, int] | None:
    """(hash in hex, length of the image) where the file has a trailer."""
    size = path.stat().st_size
    if size < SIZE:
        return None
    with open(path, "rb") as file:
        file.seek(size - SIZE)
        tail = file.read(SIZE)
    if not tail.startswith(MARKER):
        return None
    start = len(MARKER)
    return tail[start : start + 16].hex(), int.from_bytes(tail[start + 16 :], "little")


def check_length(path: Path) -> Verdict:
    """What the length alone says; costs two reads and is done whenever a path is opened."""
    size = path.stat().st_size
    found = read(path)
    if found is not None:
        if found[1] + SIZE != size:
            return Verdict("corrupt", f"{size:,} bytes where {found[1] + SIZE:,} were written")
        return Verdict("whole", "length agrees with the trailer")
    expected = hdf5_length(path)
    if expected is not None and size < expected:
        return Verdict("truncated", f"{size:,} of {expected:,} bytes")
    return Verdict("unsigned", "no trailer")


def check(path: Path) -> Verdict:
    """Asked of a path before it is read: the hash where that costs nothing, else the length."""
    return verify(path) if path.stat().st_size <= _SMALL else check_length(path)


def verify(path: Path, leave: threading.Event | None = None) -> Verdict:
    """What length and hash together say; reads the whole file, unless it is told to leave."""
    verdict = check_length(path)
    found = read(path)
    if verdict.state != "whole" or found is None:
        return verdict
    digest, length = _hash(path, found[1], leave)
    if digest.hex() != found[0]:
        return Verdict("corrupt", "its bytes differ from what was written")
    return Verdict("whole", f"{length:,} bytes, xxh3 {found[0]}")


def fingerprint(path: Path) -> str:
    """A short identity of an input: its trailer's hash, else a hash of size and both ends; of a folder
    (a zarr store, a Matrix Market set) a hash of what each of its files is called and begins with.
    """
    if path.is_dir():
        return _of_folder(path)
    found = read(path)
    if found is not None:
        return found[0]
    size = path.stat().st_size
    digest = xxhash.xxh3_64(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(0, size - (1 << 20)))
        digest.update(file.read())
    return "~" + digest.hexdigest()


def _of_folder(folder: Path) -> str:
    digest = xxhash.xxh3_64()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                head = file.read(4096)
            name = str(path.relative_to(folder))
            digest.update(f"{name}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            digest.update(head)
    return "~" + digest.hexdigest()


def hdf5_length(path: Path) -> int | None:
    """The length that the HDF5 superblock declares (versions 0 to 3), or None for another kind."""
    with open(path, "rb") as file:
        head = file.read(96)
    if not head.startswith(_HDF5):
        return None
    if len(head) < 96:
        return 96  # no HDF5 file is shorter
    version = head[8]
    if version in (2, 3):
        return int.from_bytes(head[28:36], "little")
    if version in (0, 1):
        start = 40 if version == 0 else 44
        return int.from_bytes(head[start : start + 8], "little")
    return None


@contextlib.contextmanager
def vouched(path: Path, name: str) -> Iterator[bool]:
    """Does the trailer's hash answer for every byte, so that chunks' checksums need not?

    A small file was hashed when it was opened. A large one is hashed in a thread while the block runs,
    and an InputError ends the block where the bytes differ. False for what carries no trailer.
    """
    if check_length(path).state != "whole":
        yield False
    elif path.stat().st_size <= _SMALL:
        yield True
    else:
        leave = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(verify, path, leave)
            try:
                yield True
                verdict = coming.result()
            finally:
                leave.set()
        if verdict.state != "whole":
            what = f"{verdict.state}: {verdict.detail}"
            raise InputError(what, fix="make the file again", file=name)


def _hash(path: Path, length: int | None, leave: threading.Event | None) -> tuple[bytes, int]:
    """Hash and length of the bytes (of the first `length`); less of them when told to leave."""
    digest = xxhash.xxh3_128()
    done, space = 0, memoryview(bytearray(_CHUNK))  # fresh memory costs more than the read
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(
            space[: _CHUNK if length is None else min(_CHUNK, length - done)]
        ):
            digest.update(space[:got])
            done += got
            if leave is not None and leave.is_set():
                break
    return digest.digest(), done
