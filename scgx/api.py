"""Commands as Python functions: the same code, the same history, errors as exceptions."""

import functools
import inspect
from collections.abc import Callable

from scgx import invocation, progress, registry


def function_of(command: str) -> Callable[..., None]:
    """The function behind a command; a call is recorded as the command line it stands for."""
    function = getattr(registry.load("commands", command), command.replace("-", "_"))

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> None:
        bound = inspect.signature(function).bind(*args, **kwargs)
        words = [f"{name}={value}" for name, value in bound.arguments.items()]
        invocation.remember(["scgx", command, *words])
        progress.configure(prefix=f"scgx {command}", quiet=bool(bound.arguments.get("quiet")))
        function(*args, **kwargs)

    call.__doc__ = function.__doc__
    return call
