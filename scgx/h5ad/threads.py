"""Work that runs ahead of its use, in threads; it pays where the work lets go of the GIL."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
THREADS = min(4, os.cpu_count() or 1)


def side_by_side(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """work(item) of each item, in order, made in threads a few items ahead of what is used."""
    with ThreadPoolExecutor(THREADS) as pool:
        coming: deque[Future[T]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(work, item))
                if len(coming) > THREADS:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for one in coming:
                one.cancel()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        iterator = iter(items)
        done = object()
        coming = pool.submit(next, iterator, done)
        while (item := coming.result()) is not done:
            coming = pool.submit(next, iterator, done)
            yield item  # type: ignore[misc]
