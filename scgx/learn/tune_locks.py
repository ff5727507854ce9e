"""Locks of a search: who may ask for a trial, who adds to the journal, and which workers live.

All of them are of the operating system and go with the process that holds them, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from scgx.errors import MachineError

WORKERS = 4_096


class JournalLock:
    """As Optuna wants a lock; its own outlives a process that is killed, by half a minute."""

    def __init__(self, path: Path) -> None:
        self._path, self._descriptor = path, -1

    def acquire(self) -> bool:
        """Wait for it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """One process at a time."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.stat(path), os.fstat(descriptor)):
            break
        os.close(descriptor)  # its holder left and took the name along
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[int]:
    """The smallest number of a worker that nobody has, for as long as the block lasts."""
    for number in range(WORKERS):
        descriptor = os.open(_worker(folder, number), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield number
        finally:
            os.close(descriptor)
        return
    raise MachineError(f"{WORKERS:,} processes work on this search", file=str(folder))


def is_at(folder: Path, number: int) -> bool:
    """Does the worker of this number live?"""
    return _is_held(_worker(folder, number))


def others_at(folder: Path, number: int) -> bool:
    """Does any worker live but this one?"""
    mine = _worker(folder, number)
    return any(_is_held(path) for path in folder.glob("worker-*") if path != mine)


def forget(folder: Path) -> None:
    """Remove the files of workers, and the folder where nothing else is in it."""
    for path in folder.glob("worker-*"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _worker(folder: Path, number: int) -> Path:
    return folder / f"worker-{number}"


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
