"""Commands as Python functions: the same code, the same history, errors as exceptions."""

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path

from scgx import invocation, progress, registry


def function_of(command: str) -> Callable[..., None]:
    """The function behind a command; a call is recorded as the command line it stands for."""
    function = getattr(registry.load("commands", command), command.replace("-", "_"))

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> None:
        bound = inspect.signature(function).bind(*args, **kwargs)
        hints = typing.get_type_hints(function)
        for name, value in bound.arguments.items():
            bound.arguments[name] = _fitted(hints[name], value)
        invocation.remember(["scgx", command, *_words(function, bound.arguments)])
        progress.configure(prefix=f"scgx {command}", quiet=bool(bound.arguments.get("quiet")))
        function(*bound.args, **bound.kwargs)

    call.__doc__ = function.__doc__
    return call


def _fitted(hint: object, value: object) -> object:
    """A value as the command wants it: one word for a list of them, a path for words and back."""
    kinds = typing.get_args(hint) if not isinstance(hint, type) else (hint,)
    if typing.get_origin(hint) is list:
        kinds = (hint,)
    inner = next(
        (typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is list), None
    )
    if inner is not None and isinstance(value, str | Path):
        return [_fitted(inner, value)]
    if inner is not None and isinstance(value, list | tuple):
        return [_fitted(inner, one) for one in value]
    if isinstance(value, str) and Path in kinds and str not in kinds:
        return Path(value)
    if isinstance(value, Path) and str in kinds and Path not in kinds:
        return str(value)
    return value


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
