"""How far a metric of a cell may go, as text: `500`, `q99`, `mad5`, `iqr1.5`, or several at once.

The standard library only, so that a mistyped bound is a usage error before anything is opened.
"""

import re
from typing import NamedTuple

from scgx.errors import UsageError

_WORDS = re.compile(r"\s*(q|mad|iqr)?\s*([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+)\s*", re.I)


class Bound(NamedTuple):
    """A number, or how it is found in the values of training cells.

    `value`: the amount itself. `q`: that percentile. `mad`: so many median absolute deviations
    (unscaled) off the median. `iqr`: so many interquartile ranges beyond the nearer quartile.
    """

    kind: str  # value, q, mad, iqr
    amount: float

    def __str__(self) -> str:
        return f"{'' if self.kind == 'value' else self.kind}{self.amount:g}"


class Limit(NamedTuple):
    """Bounds on one side of a metric; all of them hold."""

    metric: str
    side: str  # min or max
    bounds: tuple[Bound, ...]
    option: str

    @property
    def fitted(self) -> bool:
        """Must anything be learnt from cells?"""
        return any(bound.kind != "value" for bound in self.bounds)


def parse(text: str, option: str) -> tuple[Bound, ...]:
    """`500`, `q99`, `mad5`, `iqr1.5`, or several with commas; a UsageError where it is none."""
    found = []
    for word in text.split(","):
        match = _WORDS.fullmatch(word)
        if not match:
            fix = "write 500, q99 (percentile), mad5 or iqr1.5; several with commas"
            raise UsageError(f"{option} {text!r} is no bound", fix=fix)
        kind, amount = (match[1] or "value").lower(), float(match[2])
        if kind == "q" and amount > 100:
            raise UsageError(f"{option} {text!r}: a percentile is 0 to 100", fix="q99")
        found.append(Bound(kind, amount))
    return tuple(found)
