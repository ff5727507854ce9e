"""What goes block by block, on this process or on many: the one seam, and it knows nothing of Dask.

`mapped(function, parts)` is what a command walks: the answers in order, whoever worked them out.
Without a cluster the function is called here; within `opened` it is sent to the workers once, and each
part is a task. Only as many parts are under way as keep the workers busy, so that memory is bounded.
What a function raises is raised here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scgx import invocation
from scgx.cluster.place import parse
from scgx.errors import MachineError

if TYPE_CHECKING:
    from scgx.cluster.pool import Pool

Part = TypeVar("Part")
Answer = TypeVar("Answer")

_pools: list[Pool] = []


def mapped(function: Callable[[Part], Answer], parts: Iterable[Part]) -> Iterator[Answer]:
    """`function(part)` of every part, in order: here, or on the workers of the open cluster.

    A MachineError where a part outlives no worker, or the cluster is gone; else what it raises.
    """
    if not _pools:
        return map(function, parts)
    return _pools[-1].mapped(function, parts)


def pool() -> Pool | None:
    """The cluster that is open, if one is."""
    return _pools[-1] if _pools else None


def sharing() -> int:
    """Among how many workers of this machine memory is shared; 1 where there are none."""
    return _pools[-1].sharing if _pools else 1


def check(word: str | None, *, is_said: bool = False) -> None:
    """Refuse a word that names no cluster, or a profile that says nonsense, before anything is done.

    What goes block by block is the same to the bit wherever it is worked out, and history does not say
    where, unless it `is_said`.
    """
    if word is not None:
        parse(word)
        if not is_said:
            invocation.leave_out("--dask")


@contextlib.contextmanager
def opened(
    word: str | None,
    scratch: Callable[[], contextlib.AbstractContextManager[Path]],
    *,
    threads: int | None = None,
) -> Iterator[None]:
    """Workers for as long as the block lasts, whichever way it ends; nothing at all for None.

    `threads` of the numerical libraries in each worker of this machine (default 1); `scratch` makes a
    folder for what Dask keeps on disk. UsageError for a word that is none; MachineError where Dask is
    not installed or a scheduler does not answer.
    """
    if word is None:
        yield
        return
    place = parse(word)
    try:
        from scgx.cluster import pool as made_of
    except ImportError as error:
        raise MachineError(
            f"--dask needs {error.name or 'dask'}, which is not installed",
            fix="pip install 'scgx[scale]'",
        ) from None
    with scratch() as folder, made_of.opened(place, folder, threads or 1) as made:
        _pools.append(made)
        try:
            yield
        finally:
            _pools.remove(made)
