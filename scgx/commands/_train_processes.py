"""`torchrun -m scgx train ...`: what holds for a process that is one of several."""

from pathlib import Path
from typing import NoReturn

from scgx import progress
from scgx.errors import UsageError
from scgx.learn import launched


def here(model: str, settings: object, input: str) -> launched.Place:
    """This process among those that were started together; the first one alone speaks and writes.

    UsageError where they cannot work together: what one process is told, all are, so one says it.
    """
    found = launched.place()
    if found.total == 1:
        return found
    try:
        _require_together(model, settings, input, found.total)
    except UsageError as error:
        _once(found, error)
    if not found.is_first:
        progress.configure(prefix=f"scgx train (rank {found.number})", mute=True)
    return found


def require_alone(fix: str) -> None:
    """UsageError, said by one process, where several were started for what one does."""
    found = launched.place()
    if found.total > 1:
        _once(found, UsageError(f"{found.total} processes were started together", fix=fix))


def _once(found: launched.Place, error: UsageError) -> NoReturn:
    if found.is_first:
        raise error
    raise SystemExit(UsageError.code)


def _require_together(model: str, settings: object, input: str, total: int) -> None:
    if not hasattr(settings, "epochs"):
        raise UsageError(
            f"model {model!r} trains in one process, and {total} were started",
            fix="leave torchrun out",
        )
    if input == "-" or (
        Path(input).exists() and not (Path(input).is_file() or Path(input).is_dir())
    ):
        raise UsageError(
            f"{total} processes cannot share a pipe", fix="write it to a file first, and name that"
        )
