"""Is anybody still waiting for what this process works on? A worker that runs on for long asks."""

from collections.abc import Callable

_ask: list[Callable[[], bool]] = []


def wanted() -> bool:
    """False on a worker whose command has ended, been interrupted or killed."""
    return not _ask or _ask[-1]()


def ask(how: Callable[[], bool]) -> None:
    """Called by a worker before it begins: how to know."""
    _ask[:] = [how]
