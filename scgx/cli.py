"""argv in, exit code out: the one place that turns errors into a line and a code.

Every file in `commands/` is a command. They are thin and import nothing heavy, so all of them are
registered at once; `scgx --help` loads neither numpy nor h5py. A bug keeps its traceback.
"""

import functools
import inspect
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType

import typer

from scgx import progress, registry
from scgx.errors import MachineError, ReaderGone, ScgxError, Terminated

PANELS = {
    "get": "Get data",
    "shape": "Shape data",
    "learn": "Learn and apply",
    "judge": "Judge",
    "look": "Look",
}
ORDER = (
    *("fetch", "filter-chrom", "annotate-coords", "transpose"),
    *("train", "predict", "generate", "classify", "score"),
)


def _version(value: bool) -> None:
    if value:
        from scgx import __version__

        sys.stdout.write(f"scgx {__version__}\n")
        raise typer.Exit()


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Options before the command."""


def build(command: str = "") -> typer.Typer:
    """The application: with that command alone where there is one (start-up), else with all of them,
    the nine of the card first.
    """
    app = typer.Typer(
        name="scgx",
        help="Small commands from single-cell data to a trained, honestly scored model. "
        "Every command reads a path or '-', and writes '-' or -o PATH.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    names = registry.names("commands")
    for name in [command] if command in names else sorted(names, key=_place):
        module = registry.load("commands", name)
        function = getattr(module, name.replace("-", "_"))
        panel = PANELS[module.PANEL]
        app.command(name, rich_help_panel=panel, help=_help(function))(_guard(name, function))
    return app


def _place(name: str) -> tuple[int, str]:
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def _help(function: Callable[..., None]) -> str:
    """The docstring, its paragraphs for any width, its example kept as lines."""
    text = inspect.getdoc(function) or ""
    head, mark, example = text.partition("\nExample:")
    head = "\n\n".join(" ".join(part.split()) for part in head.split("\n\n"))
    lines = "\n\n".join(line.strip() for line in example.splitlines() if line.strip())
    return f"{head.strip()}\n\nExample:\n\n{lines}" if mark else head


def _guard(name: str, function: Callable[..., None]) -> Callable[..., None]:
    """What holds for every command: who speaks, and that a reader may leave."""

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> None:
        progress.configure(prefix=f"scgx {name}", quiet=bool(kwargs.get("quiet", False)))
        try:
            function(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None

    return run


def main(argv: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # Idle threads of OpenBLAS sleep after 2^20 ticks of the clock; of their own they would spin, at
    # every start, for a third of the CPU time of a short command.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    sys.unraisablehook = _again
    if sys.stdout is None:
        sys.stdout = _Closed()  # type: ignore[unreachable]
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; PYTHONWARNINGS shows them
    from scgx import invocation

    invocation.remember(["scgx", *arguments])
    try:
        code = run(arguments)
        for number in _HEEDED:
            if signal.getsignal(number) in _HEEDED.values():
                signal.signal(number, signal.SIG_DFL)  # nothing is left to clean up
    except KeyboardInterrupt:
        code = 130
    except Terminated as ended:
        code = 128 + ended.number
    if code == 0:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)  # after a failed write HDF5 would crash in its exit handler


def run(arguments: list[str]) -> int:
    """Run one command line; every way it can end as an exit code."""
    progress.configure(prefix="scgx" if not arguments else f"scgx {arguments[0]}")
    try:
        for number, handler in _HEEDED.items():
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, handler)
        wanted = "" if wanted_completion() else next(iter(arguments), "")
        code = build(wanted)(args=arguments, prog_name="scgx", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ScgxError as error:
        progress.fail(str(error))
        return error.code
    except typer.TyperException as error:
        return _usage(error, arguments)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except Terminated as ended:
        return 128 + ended.number
    except (RuntimeError, ImportError, SystemError) as error:
        code = _interrupted(error)
        if code is None:
            raise
        return code
    except (ReaderGone, BrokenPipeError):
        return 141
    except SystemExit as ended:  # of typer: its help or a completion, whose reader may have left
        return 141 if ended.code == 1 and not wanted_completion() else int(ended.code or 0)
    except MemoryError:
        progress.fail("not enough memory (lower --memory, or use a machine with more)")
        return MachineError.code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        progress.fail(f"{where}{(error.strerror or str(error)).lower()}")
        return MachineError.code


def _interrupted(error: BaseException | None) -> int | None:
    """The exit code of an interrupt that became another error on its way (making a class, say)."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return 130
        if isinstance(error, Terminated):
            return 128 + error.number
        error = error.__cause__ or error.__context__
    return None


def wanted_completion() -> bool:
    """Is this a shell that asks what could be typed next?"""
    return "_SCGX_COMPLETE" in os.environ


def _usage(error: typer.TyperException, arguments: list[str]) -> int:
    """A usage error as one line, with the nearest known word."""
    message = error.format_message().rstrip(".")
    if not arguments and not message:
        return 2
    command = next((a for a in arguments if not a.startswith("-")), "")
    known = registry.names("commands")
    if message.startswith("No such command"):
        progress.configure(prefix="scgx")
        progress.fail(f"no command named {command!r} ({registry.suggest(command, known)})")
        return 2
    hint = f"scgx {command} --help" if command in known else "scgx --help"
    if message:
        progress.fail(f"{message[0].lower()}{message[1:]} (see {hint})")
    return getattr(error, "exit_code", 2)


class _Closed(io.TextIOBase):
    """A stdout that was closed (`>&-`): what a command says there is an error and no crash."""

    def write(self, text: str, /) -> int:
        raise MachineError("stdout is closed", fix="send it to a file")


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _again(event: "sys.UnraisableHookArgs") -> None:
    """An interrupt that fell into a destructor, where Python forgets it, comes again at once."""
    if isinstance(event.exc_value, KeyboardInterrupt | Terminated):
        number = getattr(event.exc_value, "number", signal.SIGINT)
        handler = _HEEDED[number]
        signal.signal(signal.SIGALRM, lambda _, frame: handler(number, frame))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(event)


_HEEDED = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: _terminate,
    signal.SIGHUP: _terminate,
}
