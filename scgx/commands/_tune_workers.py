"""Other processes, of this machine or of a cluster, that work on the same search."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scgx import progress
from scgx.cluster import work
from scgx.errors import MachineError

if TYPE_CHECKING:
    from scgx.learn.tune_study import Study


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


_ENDED = ("complete", "pruned", "failed")


def lacks(study: Study) -> bool:
    """Are there fewer trials than were asked for?"""
    return sum(row.state in _ENDED for row in study.rows()) < study.plan.trials


def everywhere(tune: Callable[..., None], options: Mapping[str, Any], study: Study) -> None:
    """Each worker of the open cluster tries until the study has all trials; what they try is said here.

    `tune` is the command with the options of this one, as a worker takes them.
    """
    from scgx.learn.tune_space import words_of

    pool = work.pool()
    assert pool is not None
    share = str(max(1, int(options["memory"]) // pool.sharing))
    told = {row.number for row in study.rows() if row.state in _ENDED}

    def say() -> None:
        for row in study.rows():
            if row.state in _ENDED and row.number not in told:
                told.add(row.number)
                value = "" if row.value is None else f" {row.value:.5g}"
                shown = ", ".join(words_of(row.values))
                count = f"trial {row.number} of {study.plan.trials}"
                progress.say(f"{count}: {row.state}{value} ({shown})")

    pool.everywhere(partial(_try, tune, os.getcwd(), {**options, "memory": share}), say)


def _try(tune: Callable[..., None], folder: str, options: dict[str, Any]) -> None:
    """On a worker, in the folder where the command was given."""
    for seen in (folder, options["input"]):
        if not Path(seen).exists():
            raise MachineError(
                f"is not seen by the worker on {os.uname().nodename}",
                fix="a folder that all workers share; --tmpdir is where pipes are spooled",
                file=seen,
            )
    with contextlib.chdir(folder):
        tune(**options)
