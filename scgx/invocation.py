"""The command line that this process runs, for the history of what it writes."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence

_argv: list[str] = []


def remember(argv: list[str]) -> None:
    """Called by the command line (or the Python API) before the command runs."""
    _argv[:] = argv


def command_line() -> str:
    """The command as a shell would read it."""
    return shlex.join(_argv) if _argv else "scgx"


def hide(secret: str, shown: str) -> None:
    """Put something else in the place of a word that must not be recorded (a password)."""
    _argv[:] = [word.replace(secret, shown) for word in _argv]


def leave_out(option: str) -> None:
    """Forget an option and its value, which change nothing of what is made."""
    kept: list[str] = []
    for word in _argv:
        if kept and kept[-1] == option:
            kept.pop()
        elif not word.startswith(f"{option}="):
            kept.append(word)
    _argv[:] = kept


@contextlib.contextmanager
def standing_for(argv: Sequence[str]) -> Iterator[None]:
    """What is written within is recorded as made by another command line, which makes the same."""
    before = list(_argv)
    _argv[:] = argv
    try:
        yield
    finally:
        _argv[:] = before
