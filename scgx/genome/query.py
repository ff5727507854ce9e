"""What a user asks for, as text: `X`, `chr1:1-5,000,000`, `X,Y`, `^MT`, `X,^PAR`.

The standard library only, so that a mistyped region is a usage error before anything is opened.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from scgx.errors import UsageError

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_TOKEN = re.compile(
    rf"\s*(\^?)\s*([^\s,:^]+)(?::({_NUMBER})?(-)?({_NUMBER})?)?\s*(?:,|$)"  # ^name:first-last,
)
END = 2**62


class Region(NamedTuple):
    """One wish: a chromosome as the user spelled it, and a span, 0-based half-open."""

    name: str
    start: int
    end: int
    exclude: bool

    @property
    def whole(self) -> bool:
        """True where a chromosome is meant as a whole."""
        return self.start == 0 and self.end == END


def parse(text: str) -> list[Region]:
    """The regions in a list such as `X,chr1:1-5,000,000,^MT`; a `UsageError` names what is no
    region.

    `chr1:100` is from base 100 to the end and `chr1:-100` the first 100 bases, as in samtools.
    """
    found: list[Region] = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or (match[0].count(":") and not (match[3] or match[5])):
            raise UsageError(
                f"{text[at:]!r} is no chromosome or region", fix="say X, chr1:1-5000000 or ^MT"
            )
        first = int(match[3].replace(",", "")) if match[3] else 1
        last = int(match[5].replace(",", "")) if match[5] else END
        if first < 1 or last < first:
            raise UsageError(
                f"{match[0].strip(', ')!r} ends before it starts",
                fix="regions count from 1: chr1:1-100",
            )
        found.append(Region(match[2], first - 1, last, match[1] == "^"))
        at = match.end()
    if not found:
        raise UsageError("no chromosome given", fix="say X, chr1:1-5000000 or ^MT")
    return found
