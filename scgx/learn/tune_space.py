"""Where a search looks: knobs of a model, and the values that each may take, as TOML.

    lr = { low = 1e-4, high = 1e-2, log = true }     a range; whole numbers where the knob takes those
    hidden = [64, 128, 256]                          choices

Every end of every range, and every choice, is tried on the model's Config before anything is fitted:
a knob that the model lacks, or a value that it refuses, is found at once and not in trial 37. A model
ships its space as `models/spaces/NAME.toml`, of classifiers that have knobs of their own in the table
`[labels]`; what changes the objective itself (weights of a loss, its scale) stands in none of them,
since trials could not be compared.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from scgx import registry
from scgx.errors import DataError, InputError, UsageError
from scgx.learn import config
from scgx.learn.model import parts_for

Value: TypeAlias = bool | int | float | str
SHIPPED = Path(registry.__file__).parent / "models" / "spaces"
LABELS = "labels"
POINTS = 4  # of a range, in a grid


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both of them possible."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Is this value inside?"""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= float(value) <= self.high  # type: ignore[arg-type]

    def points(self) -> list[Value]:
        """A few values, even on the scale of the range; each once."""
        shares = [i / (POINTS - 1) for i in range(POINTS)]
        if self.log:
            span = math.log(self.high / self.low)
            values = [self.low * math.exp(span * share) for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        if self.whole:
            return sorted({round(value) for value in values})
        return [self.low, *(float(f"{value:.6g}") for value in values[1:-1]), self.high]


@dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Value, ...]

    def holds(self, value: object) -> bool:
        """Is it one of them?"""
        return value in self.values

    def points(self) -> list[Value]:
        """All of them."""
        return list(self.values)


Space: TypeAlias = Mapping[str, Range | Choices]


def space_of(model: str, path: Path | None, *, labels: bool) -> Space:
    """The space of a file, else the one that ships with the model.

    UsageError for knobs and values that the model does not have, InputError for what is no TOML,
    DataError where nothing ships and none is given.
    """
    kind = parts_for(registry.load("models", model), labels=labels).config
    shipped = SHIPPED / f"{model}.toml"
    if path is None and not shipped.is_file():
        raise DataError(
            f"model {model!r} has no knob that is worth a search",
            fix=f"--space FILE; scgx train {model} --knobs lists what there is",
        )
    return parse(text_of(model, path), kind, str(path or shipped.name), labels=labels)


def text_of(model: str, path: Path | None) -> str:
    """The TOML of a file, or of the model's own space."""
    try:
        return (path or SHIPPED / f"{model}.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", file=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is no text", fix="a space is TOML", file=str(path)) from None


def parse(text: str, kind: type, name: str, *, labels: bool) -> Space:
    """A space out of TOML, checked against the Config it is of."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {error}", file=name) from None
    own = said.pop(LABELS, None)
    said = own if labels and isinstance(own, dict) else said
    if not said:
        raise InputError("names no knob", fix="knob = [1, 2], or { low, high }", file=name)
    wholes = {row[0] for row in config.describe(kind) if row[1] == "int"}
    try:
        space = {
            key.replace("-", "_"): _dimension(key, value, wholes) for key, value in said.items()
        }
        for key, dimension in space.items():
            for value in dimension.points():
                config.build(kind, words_of({key: value}), None, {})
    except UsageError as error:
        error.file = name
        raise
    return space


def _dimension(key: str, value: object, wholes: set[str]) -> Range | Choices:
    if isinstance(value, list) and value and all(isinstance(v, Value) for v in value):
        return Choices(tuple(dict.fromkeys(value)))
    wanted = "is [values] or { low = A, high = B, log = true }"
    if not isinstance(value, dict) or not {"low", "high"} <= value.keys() <= {"low", "high", "log"}:
        raise UsageError(f"{key} {wanted}")
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
    if not numbers or not isinstance(log, bool) or not -math.inf < low < high < math.inf:
        raise UsageError(f"{key}: low={low} high={high} is no range", fix=f"it {wanted}")
    if log and low <= 0:
        raise UsageError(f"{key}: low={low} has no logarithm", fix="a low above 0, or log = false")
    whole = key.replace("-", "_") in wholes
    if whole and (low != int(low) or high != int(high)):
        raise UsageError(f"{key} takes whole numbers, and its range is {low} to {high}")
    return Range(float(low), float(high), log, whole)


def words_of(values: Mapping[str, object]) -> list[str]:
    """Values as the `key=value` of --set, which read back as the very same values."""
    return [f"{key}={_word(value)}" for key, value in values.items()]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def defaults_of(settings: object, space: Space) -> dict[str, Value] | None:
    """The knobs of the space as they stand in settings; None where the space leaves one out."""
    found = {key: getattr(settings, key) for key in space}
    return found if all(space[key].holds(value) for key, value in found.items()) else None


def require_free(space: Space, fixed: Sequence[str]) -> None:
    """UsageError where a knob is both searched and fixed by --set."""
    for assignment in fixed:
        key = assignment.partition("=")[0].strip().replace("-", "_")
        if key in space:
            raise UsageError(
                f"{key} is searched, and --set fixes it", fix="leave it out of one of the two"
            )


def described(space: Space) -> dict[str, object]:
    """The space as JSON values, by which a study is known again."""
    return {
        key: list(one.values)
        if isinstance(one, Choices)
        else {"low": one.low, "high": one.high, "log": one.log, "whole": one.whole}
        for key, one in sorted(space.items())
    }
