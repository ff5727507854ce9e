"""Path or `-` to a seekable file, in and out. The standard library only: this runs before numpy.

In: a path is used as it is; a redirected stdin is a regular file and is opened in place, without a
copy; a pipe (or a FIFO named as a path) is spooled to the temporary folder while it arrives, its hash
checked on the way where it carries our trailer. HDF5 needs random access, hence the spool.

Out: a hidden temporary file, beside the target when there is one, so that the last step is a rename;
it is fsynced and renamed, or poured into stdout, only after the work has succeeded. Whatever happens
before leaves the old output as it was. Temporary files are called `.scgx-HOST-PID-*.part`; those of
processes of this host that were killed are removed by the next run in the same folder.
"""

import contextlib
import os
import select
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scgx.errors import InputError, MachineError, ReaderGone, UsageError

CHUNK = 1 << 20
_TEMPORARY = ".scgx-"
_folder: list[str] = []


@dataclass(frozen=True)
class Source:
    """A seekable input: where it lies and what to call it in messages."""

    path: Path
    name: str


@dataclass(frozen=True)
class Sink:
    """Where to write; it becomes the output only when the block ends well. `piped`: to a stream."""

    path: Path
    piped: bool


def use_tmpdir(folder: str | None) -> None:
    """Spool under this folder (`--tmpdir`), else $TMPDIR, else the system's."""
    _folder[:] = [folder] if folder else []


def tmpdir() -> Path:
    """The folder for spools; a `MachineError` when it cannot be used."""
    folder = Path(_folder[0] if _folder else os.environ.get("TMPDIR") or "/tmp")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError(
            f"temporary folder {folder} is missing or not writable", fix="set TMPDIR or --tmpdir"
        )
    return folder


def glance(*arguments: str) -> None:
    """Refuse a path that is not there, before anything else is looked at; `-` is left to `source`."""
    for name in arguments:
        if name != "-" and not os.path.lexists(name):
            raise InputError("no such file", fix=_nearby(Path(name)), file=name)


def apart(written: str | os.PathLike[str] | None, *read: str | os.PathLike[str]) -> None:
    """Refuse to put something of another kind, such as a model, in the place of what is read."""
    for name in read:
        if written is None or "-" in (written, name):
            continue
        if os.path.realpath(written) == os.path.realpath(name):
            raise UsageError(
                "is read, and would be replaced by something else",
                fix="name another output",
                file=os.fspath(written),
            )


def distinct(*written: str | os.PathLike[str] | None) -> None:
    """Refuse two outputs of one name, of which the last would win."""
    seen: set[str] = set()
    for name in written:
        if name is None:
            continue
        place = "stdout" if os.fspath(name) == "-" else os.path.realpath(name)
        if place in seen and place != os.devnull:
            where = place if place == "stdout" else os.fspath(name)
            raise UsageError("two outputs cannot be one file", fix="name another", file=where)
        seen.add(place)


@contextlib.contextmanager
def source(argument: str | os.PathLike[str]) -> Iterator[Source]:
    """Open an input for random access; spools what cannot seek."""
    name = os.fspath(argument)
    if name in ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        with _stdin() as found:
            yield found
        return
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError("no such file", fix=_nearby(path), file=name) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be opened: {_reason(error)}", file=name) from None
    if stat.S_ISDIR(mode):
        yield Source(
            path, name
        )  # a zarr store or a matrix folder; the reader says if it is neither
    elif stat.S_ISREG(mode):
        if not os.access(path, os.R_OK):
            raise InputError("cannot be read: permission denied", file=name)
        if path.stat().st_size == 0:
            raise InputError("is empty", fix="did the command that made it fail?", file=name)
        yield Source(path, name)
    else:
        with open(path, "rb", buffering=0) as pipe, _spool(pipe.fileno(), name) as spooled:
            yield Source(spooled, name)


@contextlib.contextmanager
def _stdin() -> Iterator[Source]:
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        raise InputError("stdin is closed", fix="name a file") from None
    if os.isatty(0):
        raise UsageError("stdin is a terminal", fix="name a file, or pipe one in")
    if stat.S_ISREG(mode) and os.lseek(0, 0, os.SEEK_CUR) == 0:
        if os.fstat(0).st_size == 0:
            raise InputError("stdin is empty", fix="did the previous command fail?")
        yield Source(Path(f"/dev/fd/{0}"), "stdin")
        return
    with _spool(0, "stdin") as spooled:
        yield Source(spooled, "stdin")


@contextlib.contextmanager
def _spool(descriptor: int, name: str) -> Iterator[Path]:
    """Copy a pipe to a temporary file; the first bytes are looked at before the rest is awaited."""
    with temporary(tmpdir()) as path:
        size = 0
        with open(path, "wb", buffering=0) as spool:
            while data := _read(descriptor):
                if size == 0:
                    _refuse_text(data[:512], name)
                _write_all(spool.fileno(), data, f"to spool {name} in {path.parent}")
                size += len(data)
        if size == 0:
            raise InputError(f"{name} is empty", fix="did the previous command fail?")
        _check_arrived(path, name)
        yield path


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _refuse_text(head: bytes, name: str) -> None:
    """A web page on a pipe, or /dev/zero, is refused at once and not after a gigabyte of it."""
    if len(head) == 512 and not head.strip(b"\0"):
        raise InputError("is nothing but zeros", file=name)
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise InputError("is a web page and no data", file=name)


def _check_arrived(path: Path, name: str) -> None:
    from scgx.h5ad import trailer

    verdict = trailer.verify(path)
    if verdict.state in ("truncated", "corrupt"):
        raise InputError(f"{verdict.state}: {verdict.detail}", fix="run it again", file=name)


@contextlib.contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """A hidden temporary file of this process, gone when the block ends."""
    sweep(folder)
    try:
        descriptor, path = tempfile.mkstemp(
            prefix=f"{_TEMPORARY}{_host()}-{os.getpid()}-", suffix=".part", dir=folder
        )
    except OSError as error:
        raise MachineError(f"cannot write in {folder}: {_reason(error)}") from None
    os.close(descriptor)
    try:
        yield Path(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A hidden folder of this process under the folder for spools, gone when the block ends."""
    folder = tmpdir()
    sweep(folder)
    path = tempfile.mkdtemp(
        prefix=f"{_TEMPORARY}{_host()}-{os.getpid()}-", suffix=".part", dir=folder
    )
    try:
        yield Path(path)
    finally:
        _remove(path)


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove temporary files of processes of this host that no longer live (killed outright)."""
    mine = f"{_TEMPORARY}{_host()}-"
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(mine) and entry.name.endswith(".part"):
                pid = entry.name[len(mine) :].split("-")[0]
                if pid.isdigit() and not _alive(int(pid)):
                    with contextlib.suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            _remove(entry.path)
                        else:
                            os.unlink(entry.path)


def _host() -> str:
    """Where a process id means something: this machine and, in a container, its own count of ids."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32((os.uname().nodename + space).encode()):08x}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


UNWRITTEN = (".h5mu", ".zarr", ".loom")  # formats that an h5ad is not, whatever it is called


@contextlib.contextmanager
def sink(argument: str | os.PathLike[str], *, mudata: bool = False) -> Iterator[Sink]:
    """A temporary file to write; renamed onto the path, or poured, when the block ends well.

    UsageError for a name of a format that is not written; .h5mu is, where `mudata` says so.
    """
    name = os.fspath(argument)
    suffix = Path(name).suffix.lower()
    if suffix in UNWRITTEN and not (mudata and suffix == ".h5mu"):
        fix = "scgx join writes it" if suffix == ".h5mu" else "cells are written as .h5ad"
        raise UsageError(f"{suffix} is read, and not written here", fix=fix, file=name)
    if name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        refuse_terminal()
        with temporary(tmpdir()) as path:
            yield Sink(path, piped=True)
            pour(path, 1, "stdout")
        return
    target = Path(name)
    if len(os.fsencode(target.name)) > 255:
        raise UsageError("output name is too long", file=name)
    if target.is_symlink():
        target = Path(os.path.realpath(target))  # the link stays, what it points to is replaced
    if target.is_dir():
        raise UsageError("output is a folder", fix="name a file", file=name)
    if target.exists() and not target.is_file():
        with temporary(tmpdir()) as path:
            yield Sink(path, piped=True)
            with open(target, "wb", buffering=0) as device:
                pour(path, device.fileno(), name)
        return
    folder = target.parent
    if not folder.is_dir():
        raise MachineError(f"folder {folder} does not exist", fix="make it first", file=name)
    with temporary(folder) as path:
        yield Sink(path, piped=False)
        commit(path, target)


def refuse_terminal() -> None:
    """Binary data never go to a terminal; a closed stdout is an error and not silence."""
    try:
        os.fstat(1)
    except OSError:
        raise MachineError("stdout is closed", fix="name an output with -o") from None
    if os.isatty(1):
        raise UsageError("stdout is a terminal", fix="redirect it, or name an output with -o")


def commit(path: Path, target: Path) -> None:
    """Make a finished file the output: bytes to disk, rename, folder to disk."""
    umask = os.umask(0)
    os.umask(umask)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~umask
    try:
        os.chmod(path, mode)
        _fsync(path, os.O_RDONLY)
        os.replace(path, target)
        _fsync(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MachineError(f"cannot be written: {_reason(error)}", file=str(target)) from None


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pour(path: Path, descriptor: int, name: str) -> None:
    """Write a whole file to a descriptor, in a loop: one call takes at most 2 GiB and may take less."""
    with open(path, "rb", buffering=0) as finished:
        while data := finished.read(CHUNK):
            _write_all(descriptor, data, f"to {name}")
    if descriptor == 1 and sys.stdout is not None:
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.fstat(1).st_mode):
                os.fsync(1)


def _write_all(descriptor: int, data: bytes, where: str) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            raise ReaderGone from None
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError as error:
            raise MachineError(f"cannot write {where}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _nearby(path: Path) -> str | None:
    """A file beside the missing one whose name is close."""
    import difflib

    with contextlib.suppress(OSError):
        beside = [name for name in os.listdir(path.parent or ".") if name != path.name]
        near = difflib.get_close_matches(path.name, beside, n=1)
        return f"did you mean {near[0]!r}?" if near else None
    return None
