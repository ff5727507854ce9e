"""Settings of a model: a frozen dataclass, changed by TOML and by `--set key=value`.

A key that the model does not have is an error that suggests the nearest; a value that is not of the
field's type is an error that says which type it is.
"""

import dataclasses
import inspect
import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scgx.errors import InputError, UsageError
from scgx.registry import suggest

_OPTIONS = {"covariates": "covariate"}


def knob(default: float, *, least: float = 0, most: float = math.inf) -> Any:
    """A field of a Config with bounds, both of them allowed; a plain number goes from 0 upwards."""
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def bounds(field: "dataclasses.Field[Any]") -> tuple[float, float]:
    """The least and the most that a number may be; infinity itself is never allowed."""
    return field.metadata.get("least", 0), field.metadata.get("most", math.inf)


def build(
    kind: type, assignments: list[str], toml: Path | None, roles: Mapping[str, object]
) -> object:
    """An instance of a model's Config: its defaults, then TOML, then --set, then run options.

    `roles` are run options such as epochs or covariates; one that the model lacks is refused when it
    was given (is not None).
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = {}
    for key, value in (_toml(toml) if toml is not None else {}).items():
        try:
            name = _known(key, fields)
            values[name] = _coerce(key, value, hints[name])
            _check(fields[name], values[name])
        except UsageError as error:
            error.file = str(toml)
            raise
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment!r} has no '='", fix="write --set key=value")
        name = _known(key, fields)
        values[name] = _parse(key, text, hints[name])
    for key, value in roles.items():
        if value is None:
            continue
        if key not in fields:
            model = kind.__module__.rsplit(".", 1)[-1].replace("_", "-")
            raise UsageError(
                f"model {model!r} has no {key}", fix=f"leave --{_OPTIONS.get(key, key)} out"
            )
        values[key] = value
    for key, value in values.items():
        _check(fields[key], value)
    return kind(**values)


def _check(field: "dataclasses.Field[Any]", value: object) -> None:
    """Refuse a number outside the bounds of its field."""
    least, most = bounds(field)
    if isinstance(value, int | float) and not (least <= value <= most and value < math.inf):
        range_ = f"from {least:g} upwards" if most == math.inf else f"from {least:g} to {most:g}"
        raise UsageError(f"{field.name}={value} is no number {range_}")


def describe(kind: type) -> list[tuple[str, str, str, str]]:
    """(name, type, default, comment) of every knob: the comments of a Config are its documentation."""
    hints = typing.get_type_hints(kind)
    comments = dict(
        re.findall(r"^\s+(\w+):[^#\n]*#\s*(.+)$", inspect.getsource(kind), re.MULTILINE)
    )
    return [
        (f.name, _type_name(hints[f.name]), str(f.default), comments.get(f.name, ""))
        for f in dataclasses.fields(kind)
    ]


def to_json(config: object) -> dict[str, object]:
    """The settings as JSON values."""
    plain = dataclasses.asdict(config)  # type: ignore[call-overload]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}


def from_json(kind: type, values: Mapping[str, object]) -> object:
    """The settings out of a header; fields that are unknown mean a damaged or foreign file."""
    hints = typing.get_type_hints(kind)
    try:
        return kind(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if hints[k]}
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"settings of the model are damaged: {error}") from None


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", file=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", file=str(path)) from None


def _known(key: str, fields: Mapping[str, object]) -> str:
    name = key.strip().replace("-", "_")
    if name not in fields:
        raise UsageError(f"no setting {key!r}", fix=suggest(name, list(fields)))
    return name


def _parse(key: str, text: str, hint: object) -> object:
    """A word of the command line as a value of the field's type."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and text.lower() in ("none", ""):
        return None
    for option in options:
        try:
            return _word(text, option)
        except ValueError:
            continue
    raise UsageError(f"{key}={text} is not {_type_name(hint)}")


def _word(text: str, kind: object) -> object:
    if kind is bool:
        if text.lower() in ("true", "1", "yes", "on"):
            return True
        if text.lower() in ("false", "0", "no", "off"):
            return False
        raise ValueError
    if kind is int or kind is float:
        return kind(text)  # type: ignore[operator]
    if kind is str:
        return text
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_word(part, inner) for part in text.split(",") if part)
    if typing.get_origin(kind) is typing.Literal:
        if text in typing.get_args(kind):
            return text
        raise ValueError
    raise ValueError


def _coerce(key: str, value: object, hint: object) -> object:
    """A TOML value, checked by the same rules as a word."""
    if isinstance(value, list):
        return _parse(key, ",".join(map(str, value)), hint)
    return _parse(key, str(value).lower() if isinstance(value, bool) else str(value), hint)


def _type_name(hint: object) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")
