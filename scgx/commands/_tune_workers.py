"""Other processes of this machine that work on the same search."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from scgx.errors import MachineError


def share(jobs: int, threads: int | None) -> int | None:
    """Threads of each of some processes: those that were asked for, else the cores dealt out."""
    if threads is not None or jobs == 1:
        return threads
    return max(1, len(os.sched_getaffinity(0)) // jobs)


@contextlib.contextmanager
def helping(n: int, words: Sequence[str]) -> Iterator[None]:
    """`n` more processes run `scgx WORDS` for as long as the block, and until they end.

    A MachineError where one fails; none is left behind where the block does.
    """
    running = [subprocess.Popen([sys.executable, "-m", "scgx", *words]) for _ in range(n)]
    try:
        yield
        codes = [one.wait() for one in running]
    except BaseException:
        for one in running:
            with contextlib.suppress(OSError):
                one.terminate()
        for one in running:
            one.wait()
        raise
    if failed := [code for code in codes if code]:
        raise MachineError(
            f"{len(failed)} of {n} processes of the search failed, with code {failed[0]}",
            fix="the same command goes on",
        )
