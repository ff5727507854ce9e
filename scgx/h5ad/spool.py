"""Values that cost much to undo, kept on disk once they were.

Inflating is most of what a compressed file costs, and an epoch follows an epoch. A spool is a file
without a name in the temporary folder: it is gone with the process, whatever ends it. A folder that
lies in memory gets none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from scgx.h5ad import streams
from scgx.progress import say

_SHARE = 4  # of the free space, one part in so many
_MUCH = 1 << 30
_IN_MEMORY = ("tmpfs", "ramfs")


class Spool:
    """Files for values, together at most so many bytes."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: None is a quarter of the free space of the temporary folder, 0 is none."""
        folder = streams.tmpdir()
        if most is None:
            most = 0 if _in_memory(folder) else shutil.disk_usage(folder).free // _SHARE
        self.left, self.used = most, 0
        self._files = contextlib.ExitStack()

    def room(self, size: int) -> BinaryIO | None:
        """A file for `size` bytes, all holes as yet; None where that is too much."""
        if size > self.left:
            return None
        self.left -= size
        self.used += size
        return self._files.enter_context(  # type: ignore[return-value]
            tempfile.TemporaryFile(dir=streams.tmpdir(), buffering=0)
        )

    def close(self) -> None:
        """Give the disk back."""
        self._files.close()

    def tell(self) -> None:
        """Say what the spool may come to take, where that is much."""
        if self.used >= _MUCH:
            size = f"{self.used / 1e9:.1f} GB"
            say(f"compressed: values are kept in {streams.tmpdir()} for the next epochs ({size})")


def _in_memory(folder: Path) -> bool:
    """Is the folder on a file system that lies in memory? (Where nothing says so, it is not.)"""
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return False
    kinds = dict(line.split()[1:3] for line in mounts.read_text().splitlines())
    place = folder.resolve()
    return (
        next((kinds[str(p)] for p in (place, *place.parents) if str(p) in kinds), "") in _IN_MEMORY
    )


def write(file: BinaryIO, data: memoryview, offset: int) -> bool:
    """All of the bytes at that offset; False where the disk is full, and nothing counts."""
    try:
        while data:
            done = os.pwrite(file.fileno(), data, offset)
            data, offset = data[done:], offset + done
    except OSError:
        return False
    return True
