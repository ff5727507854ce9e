"""Out of packages: members of a zip or a tar, or what a gzip holds; no name becomes a path.

A whole zip is refused where it shows intent: names that climb out, encrypted or overlapping
entries, a directory of a million members, a member that is a link.
"""

import gzip
import hashlib
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from scgx.datasets._cache import CHUNK
from scgx.datasets._dataset import File
from scgx.errors import DataError, InputError, MachineError, UnsafeError

MEMBERS = 10_000
RATIO = 1000  # an honest member of single-cell data packs 2 to 50 times


def member(archive: Path, file: File, to: Path, *, label: str) -> None:
    """Write the member that `file` names (a path, or a name that only one member has) to `to`.

    Raises `UnsafeError`, `DataError` when there is no such member, `InputError` when the archive is
    damaged or the bytes are not those expected, `MachineError` when the disk is too small.
    """
    _refuse_large_directory(archive, label)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _refuse_unsafe(members, label)
            chosen = _choose(members, file.member or "", label)
            _budget(chosen, file, to, label)
            digest, left = hashlib.sha256(), chosen.file_size
            with opened.open(chosen) as packed, open(to, "wb") as out:
                while data := packed.read(CHUNK):
                    left -= len(data)
                    if left < 0:
                        raise UnsafeError("a member is longer than it says", file=label)
                    digest.update(data)
                    out.write(data)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        if "verlap" in str(error):
            raise UnsafeError("its zip has entries that overlap", file=label) from None
        raise InputError(f"its zip is damaged: {error}"[:120], file=label) from None
    if left:
        raise InputError("its zip member is cut", file=label)
    if file.member_sha256 and digest.hexdigest() != file.member_sha256:
        raise InputError("the zip member's sha256 is not the one expected", file=label)


def gunzip(packed: Path, to: Path, *, label: str) -> None:
    """Unpack gzip (several members too) within the free space of the disk."""
    left = shutil.disk_usage(to.parent).free * 9 // 10
    try:
        with gzip.open(packed, "rb") as source, open(to, "wb") as out:
            while data := source.read(CHUNK):
                left -= len(data)
                if left < 0:
                    raise MachineError("does not fit on the disk unpacked", file=label)
                out.write(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"its gzip is cut or damaged: {error}"[:120], file=label) from None


_MTX = {
    "matrix": re.compile(r"matrix\.mtx(\.gz)?"),
    "features": re.compile(r"(features|genes)\.tsv(\.gz)?"),
    "barcodes": re.compile(r"barcodes\.tsv(\.gz)?"),
}


def tar_members(archive: Path, file: File, to: Mapping[str, Path], *, label: str) -> None:
    """Write matrix, features and barcodes of the folder that `file.member` names in a tar.gz.

    The archive is read as a stream; whatever else is in it, links and devices among it, is passed
    over. Raises as `member` does.
    """
    left = min(archive.stat().st_size * RATIO, shutil.disk_usage(archive.parent).free * 9 // 10)
    found: set[str] = set()
    try:
        with tarfile.open(archive, "r|gz") as opened:
            for number, info in enumerate(opened):
                if number > MEMBERS:
                    raise UnsafeError("its tar has too many members", file=label)
                path = PurePosixPath(info.name)
                if not info.isreg() or str(path.parent) != (file.member or "."):
                    continue
                role = next((r for r, name in _MTX.items() if name.fullmatch(path.name)), None)
                packed = opened.extractfile(info) if role else None
                if role is None or packed is None:
                    continue
                left -= info.size
                if left < 0 or role in found:
                    raise UnsafeError("its tar is larger than it may be", file=label)
                found.add(role)
                with open(to[role], "wb") as out:
                    shutil.copyfileobj(packed, out, CHUNK)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # about the disk
        raise InputError(f"its tar is damaged: {error}"[:120], file=label) from None
    if found != set(to):
        lacking = ", ".join(sorted(set(to) - found))
        raise DataError(f"its tar has no {lacking} in {file.member or 'its root'}", file=label)


def _refuse_large_directory(archive: Path, label: str) -> None:
    """Look at the size of the directory before zipfile reads all of it."""
    size = archive.stat().st_size
    with open(archive, "rb") as file:
        file.seek(max(0, size - 66_000))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise InputError("is no zip archive, or a cut one", file=label)
    count, length = struct.unpack("<HI", tail[at + 10 : at + 16])
    if (count != 0xFFFF and count > MEMBERS) or (length != 0xFFFFFFFF and length > MEMBERS * 400):
        raise UnsafeError("its zip has too many members", file=label)
    if count == 0xFFFF or length == 0xFFFFFFFF:
        at = tail.rfind(b"PK\x06\x06")
        if at < 0 or struct.unpack("<Q", tail[at + 32 : at + 40])[0] > MEMBERS:
            raise UnsafeError("its zip has too many members", file=label)


def _refuse_unsafe(members: list[zipfile.ZipInfo], label: str) -> None:
    reason = None
    end = 0
    for info in sorted(members, key=lambda m: m.header_offset):
        name = info.orig_filename
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or name[1:2] == ":":
            reason = "a member whose name climbs out of the folder"
        elif info.flag_bits & 1:
            reason = "an encrypted member"
        elif stat.S_ISLNK(info.external_attr >> 16):
            reason = "a member that is a link"
        elif info.header_offset < end:
            reason = "entries that overlap"
        end = info.header_offset + info.compress_size
        if reason:
            raise UnsafeError(f"its zip has {reason}", file=label)


def _choose(members: list[zipfile.ZipInfo], wanted: str, label: str) -> zipfile.ZipInfo:
    exact = [m for m in members if m.filename == wanted]
    named = [m for m in members if PurePosixPath(m.filename).name == wanted]
    found = exact or named
    if len(found) != 1:
        here = ", ".join(m.filename for m in members[:3])
        raise DataError(
            f"its zip has {len(found)} members {wanted!r}; it has {here}"[:160], file=label
        )
    return found[0]


def _budget(chosen: zipfile.ZipInfo, file: File, to: Path, label: str) -> None:
    if file.member_bytes is not None and chosen.file_size != file.member_bytes:
        size = f"{chosen.file_size:,} bytes, not {file.member_bytes:,}"
        raise InputError(f"the zip member has {size}", file=label)
    if chosen.file_size > max(chosen.compress_size, 1 << 16) * RATIO:
        raise UnsafeError(f"its zip member unpacks to {chosen.file_size:,} bytes", file=label)
    free = shutil.disk_usage(to.parent).free
    if chosen.file_size * 1.1 > free:
        raise MachineError(
            f"needs {chosen.file_size * 1.1 / 1e9:.2f} GB unpacked, {free / 1e9:.2f} GB are free",
            fix="--tmpdir on another disk",
            file=label,
        )
