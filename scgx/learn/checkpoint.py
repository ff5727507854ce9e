"""The state of a training run as one file: a zip of JSON and safetensors, replaced whole."""

import contextlib
import fcntl
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from scgx.errors import InputError, MachineError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.progress import Report

SUFFIX = ".safetensors"


class Snapshot(NamedTuple):
    """What a run can go on from: JSON values, and named arrays, which are not copied."""

    plain: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def write(self, file: IO[bytes]) -> None:
        """As one zip; of the arrays one at a time is copied, for networks can be large."""
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("checkpoint.json", json.dumps(self.plain, sort_keys=True))
            for name, array in self.arrays.items():
                archive.writestr(f"{name}{SUFFIX}", pack_arrays({name: array}))


def keep(path: Path, state: Snapshot, report: Report, *, what: str) -> None:
    """Replace the checkpoint whole; a full disk costs the checkpoint, not the training."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            temporary = file.name
            state.write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        report.warn(f"no checkpoint of {what}: {error}")
    finally:
        if temporary is not None:
            os.unlink(temporary)


def read(path: Path) -> bytes:
    """A checkpoint as it lies there; InputError where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "no checkpoint to go on from", fix="train without --resume", file=str(path)
        ) from None


def unpack(state: bytes, path: Path) -> Snapshot:
    """The snapshot that was written; InputError where it is something else."""
    try:
        with zipfile.ZipFile(io.BytesIO(state)) as archive:
            plain = json.loads(archive.read("checkpoint.json"))
            arrays: dict[str, np.ndarray] = {}
            for name in archive.namelist():
                if name.endswith(SUFFIX):
                    arrays |= unpack_arrays(archive.read(name))
            return Snapshot(plain, arrays)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError("is not a checkpoint of scgx", file=str(path)) from error


@contextlib.contextmanager
def alone(output: Path) -> Iterator[None]:
    """Refuse a second training to the same output, which would share the checkpoint with the first.

    The lock (`.NAME.lock` beside it) is free when its holder is gone, however it went. Where a folder
    or its file system has none, the training goes on without: the model itself is replaced whole.
    """
    path = output.with_name(f".{output.name}.lock")
    descriptor = _locked(path, output)
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)
            os.close(descriptor)


def _locked(path: Path, output: Path) -> int | None:
    """A locked descriptor of the file of that name; None where there are no locks."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
            os.close(descriptor)  # its holder left and took the name along
        except BlockingIOError:
            os.close(descriptor)
            raise MachineError(
                "another training writes this model", fix="name another output", file=str(output)
            ) from None
        except OSError:
            os.close(descriptor)
            return None
