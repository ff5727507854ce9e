"""Which cells a user means, as text: `cell_type=B,T`, `age_group!=infancy`, `n_genes>=200`.

The standard library only, so that a mistyped expression is a usage error before anything is opened.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from scgx.errors import UsageError

_EXPRESSION = re.compile(r"\s*([^=!<>]*[^=!<>\s])\s*(==|=|!=|>=|<=|>|<)\s*(.*?)\s*", re.DOTALL)


class Condition(NamedTuple):
    """A column of obs, how it is compared, and with what."""

    column: str
    sign: str  # one of = != >= <= > <
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value}"

    @property
    def values(self) -> list[str]:
        """The values of a list (`D1,D2`); a comma may belong to a value too, so see `value` first."""
        return [word.strip() for word in self.value.split(",")]


def parse(text: str) -> Condition:
    """One expression COLUMN SIGN VALUE; a UsageError where it is none.

    `=` is any of a list, `!=` none of it; `<`, `<=`, `>`, `>=` compare numbers.
    """
    match = _EXPRESSION.fullmatch(text)
    if not match:
        fix = "write COLUMN=VALUE, COLUMN!=VALUE or COLUMN>=NUMBER"
        raise UsageError(f"--where {text!r} is no condition", fix=fix)
    column, sign, value = match[1], match[2], match[3]
    if not value:
        raise UsageError(f"--where {text!r} names no value", fix=f"{column}{sign}VALUE")
    if sign[0] in "<>" and _number(value) is None:
        fix = f"{column}{sign}200, or {column}={value}"
        raise UsageError(f"--where {text!r} compares with {value!r}, which is no number", fix=fix)
    return Condition(column, "=" if sign == "==" else sign, value)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
