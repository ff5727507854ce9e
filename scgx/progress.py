"""What a command says while it works: to stderr, never to stdout.

On a terminal there are rich bars; elsewhere (a log file, CI) a line now and then. Tables for people go
where they are asked for: rich on a terminal, aligned text elsewhere. rich is imported only when
something is drawn, so that a command that says nothing does not pay for it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_LINE = 200
_ELLIPSIS = " ... "
_state = {"prefix": "scgx", "quiet": False, "mute": False}


def configure(
    *, prefix: str | None = None, quiet: bool | None = None, mute: bool | None = None
) -> None:
    """Set who speaks and whether it speaks; called once per process by the command line.

    One that is mute says its errors alone: it is one of several that would all say the rest.
    """
    if prefix is not None:
        _state["prefix"] = prefix
    if quiet is not None:
        _state["quiet"] = quiet
    if mute is not None:
        _state["mute"] = mute


def escape(text: str) -> str:
    """Control characters and undecodable bytes made visible, so that a message stays one line."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print(text: str) -> None:
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    try:
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody is left to read words; the data and the exit code still count


def say(text: str) -> None:
    """One line on stderr; silent under --quiet."""
    if not _state["quiet"] and not _state["mute"]:
        _print(f"{_state['prefix']}: {escape(text)}")


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing but warnings is said within: of work that is a small part of other work."""
    before = _state["quiet"]
    _state["quiet"] = True
    try:
        yield
    finally:
        _state["quiet"] = before


def warn(text: str) -> None:
    """One line on stderr, under --quiet too."""
    if not _state["mute"]:
        _print(f"{_state['prefix']}: warning: {escape(text)}")


def fail(text: str) -> None:
    """The one line of an error, of at most 200 characters; a long path loses its middle."""
    line = f"{_state['prefix']}: {escape(text)}"
    spare = _LINE - len(_ELLIPSIS)
    _print(
        line if len(line) <= _LINE else line[: spare // 3] + _ELLIPSIS + line[spare // 3 - spare :]
    )


@contextmanager
def bar(label: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Progress of a long piece of work; yields `advance(amount)`."""
    if _state["quiet"] or _state["mute"] or sys.stderr is None:
        yield lambda amount: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
        )
        console = Console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
            task = progress.add_task(label, total=total)
            yield lambda amount: progress.advance(task, amount)
    else:
        yield _lines(label, total)


def _lines(label: str, total: float | None) -> Callable[[float], None]:
    """Plain progress: at most a line every ten seconds, none for what is quick."""
    done, said = 0.0, time.monotonic()

    def advance(amount: float) -> None:
        nonlocal done, said
        done += amount
        if time.monotonic() - said >= 10:
            said = time.monotonic()
            share = f"{100 * done / total:.0f}%" if total else f"{done:.0f}"
            say(f"{label}: {share}")

    return advance


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    file: TextIO | None = None,
) -> None:
    """A table for a person, on stdout unless told otherwise; columns of numbers are right-aligned."""
    out = file or sys.stdout
    cells = [[escape(str(cell)) for cell in row] for row in rows]
    columns = [escape(column) for column in columns]
    right = [bool(cells) and all(_numeric(row[i]) for row in cells) for i in range(len(columns))]
    if out.isatty():
        from rich.console import Console
        from rich.markup import escape as literal
        from rich.table import Table

        drawn = Table(title=title or None, title_justify="left", header_style="bold")
        for i, column in enumerate(columns):
            drawn.add_column(column, justify="right" if right[i] else "left", overflow="fold")
        for row in cells:
            drawn.add_row(*map(literal, row))
        Console(file=out).print(drawn)
        return
    widths = [max([len(c), *(len(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    if title:
        out.write(title + "\n")
    for row in [list(columns), *cells]:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)]
        out.write("  ".join(parts).rstrip() + "\n")


def _numeric(cell: str) -> bool:
    """A number, an interval, a share, or nothing."""
    return (
        not cell.strip("0123456789.,-+±%()[] e")
        and any(c.isdigit() for c in cell)
        or cell in ("", "-")
    )


class Report:
    """What a model may say while it fits: lines, bars, and one JSON record per epoch."""

    def __init__(
        self, log: Path | None = None, *, checkpoint: Path | None = None, resume: bool = False
    ) -> None:
        self.records: list[dict[str, object]] = []
        self.checkpoint = checkpoint  # where a model that trains in epochs keeps its state
        self.resume = resume  # go on from that state
        self._log = log

    say = staticmethod(say)
    warn = staticmethod(warn)
    bar = staticmethod(bar)

    def log(self, record: dict[str, object]) -> None:
        """Keep one record; with a log file, write it as a JSON line (the first replaces an old log)."""
        self.records.append(record)
        if self._log is not None:
            with open(self._log, "w" if len(self.records) == 1 else "a", encoding="utf-8") as file:
                file.write(json.dumps(record, sort_keys=True) + "\n")
