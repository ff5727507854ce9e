"""The command line that this process runs, for the history of what it writes."""

import shlex

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
