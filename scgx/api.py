"""Commands as Python functions: the same code, the same history, errors as exceptions."""

import functools
import inspect
import typing
from collections.abc import Callable

from scgx import invocation, progress, registry


def function_of(command: str) -> Callable[..., None]:
    """The function behind a command; a call is recorded as the command line it stands for."""
    function = getattr(registry.load("commands", command), command.replace("-", "_"))

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> None:
        bound = inspect.signature(function).bind(*args, **kwargs)
        invocation.remember(["scgx", command, *_words(function, bound.arguments)])
        progress.configure(prefix=f"scgx {command}", quiet=bool(bound.arguments.get("quiet")))
        function(*args, **kwargs)

    call.__doc__ = function.__doc__
    return call


def _words(function: Callable[..., None], given: dict[str, object]) -> list[str]:
    """The words of the command line that a call stands for: arguments first, then options."""
    hints = typing.get_type_hints(function, include_extras=True)
    arguments, options = [], []
    for name, value in given.items():
        meta = next(iter(getattr(hints[name], "__metadata__", ())), None)
        values = list(value) if isinstance(value, list | tuple) else [value]
        if type(meta).__name__ == "ArgumentInfo":
            arguments += [str(one) for one in values]
            continue
        said = (getattr(meta, "default", None), *(getattr(meta, "param_decls", None) or ()))
        spelled = [word for word in said if isinstance(word, str) and word.startswith("--")]
        flag = spelled[0] if spelled else "--" + name.strip("_").replace("_", "-")
        if isinstance(value, bool):
            yes, _, no = flag.partition("/")
            options += [yes] if value else [no] if no else []
        elif value is not None:
            options += [word for one in values for word in (flag, str(one))]
    return [*arguments, *options]
