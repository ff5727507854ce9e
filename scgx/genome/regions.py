"""What a user asks for: `X`, `chr1:1-5,000,000`, `X,Y`, `^MT`, `X,^PAR`.

Regions are 1-based inclusive as samtools reads them; features are 0-based half-open; a feature that
overlaps a region is in it. `PAR`, `PAR1` and `PAR2` are the pseudoautosomal regions of X and Y.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.genome import builds, chroms

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_TOKEN = re.compile(
    rf"\s*(\^?)\s*([^\s,:^]+)(?::({_NUMBER})?(-)?({_NUMBER})?)?\s*(?:,|$)"  # ^name:first-last,
)
_END = 2**62


class Region(NamedTuple):
    """One wish: a chromosome as the user spelled it, and a span, 0-based half-open."""

    name: str
    start: int
    end: int
    exclude: bool

    @property
    def whole(self) -> bool:
        """True where a chromosome is meant as a whole."""
        return self.start == 0 and self.end == _END


@dataclass(frozen=True)
class Selection:
    """Which features are in: `keep` (bool, n) and what has to be said about it."""

    keep: np.ndarray
    missing: int  # features without a chromosome: never kept
    unplaced: int  # features with a chromosome but no position, where positions were asked for
    empty: list[str] = field(default_factory=list)  # wishes that no feature met, as spelled
    shared: int = 0  # kept features that lie in the regions that X and Y share


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
        last = int(match[5].replace(",", "")) if match[5] else _END
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


def select(
    wishes: Iterable[Region],
    chrom: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    *,
    genome: str = "",
) -> Selection:
    """Features on the regions wished for.

    `chrom` object (n), normalised, None = missing; `start`, `end` int64 (n), 0-based half-open, -1
    = unknown. Wishes add up; exclusions are taken away at the end; exclusions alone leave the rest.
    Features without a chromosome are never kept: where they lie is not known.
    """
    wishes = list(wishes)
    placed = np.array([name is not None for name in chrom], dtype=bool)
    keep = np.zeros(len(chrom), dtype=bool) if any(not w.exclude for w in wishes) else placed.copy()
    empty: list[str] = []
    for wish in sorted(wishes, key=lambda wish: wish.exclude):
        inside = np.zeros(len(chrom), dtype=bool)
        for name, first, last in _places(wish, chrom, genome):
            inside |= _overlap(chrom == name, start, end, (first, last))
        if not inside.any():
            empty.append(wish.name)
        keep = keep & ~inside if wish.exclude else keep | inside
    positions = any(not wish.whole or _is_par(wish.name) for wish in wishes)
    return Selection(
        keep=keep,
        missing=int((~placed).sum()),
        unplaced=int((placed & (start < 0)).sum()) if positions else 0,
        empty=empty,
        shared=int((keep & in_par(chrom, start, end, genome)).sum()),
    )


def in_par(chrom: np.ndarray, start: np.ndarray, end: np.ndarray, genome: str) -> np.ndarray:
    """True (n) for features in the pseudoautosomal regions of a known assembly."""
    inside = np.zeros(len(chrom), dtype=bool)
    for name, first, last in builds.pseudoautosomal(genome):
        inside |= _overlap(chrom == name, start, end, (first, last))
    return inside


def _places(wish: Region, chrom: np.ndarray, genome: str) -> list[tuple[str, int, int]]:
    if not _is_par(wish.name):
        return [(chroms.resolve(wish.name, set(chrom)), wish.start, wish.end)]
    places = builds.pseudoautosomal(genome, wish.name.upper())
    if not places:
        known = builds.common_name(genome) if genome else "an unknown assembly"
        raise DataError(
            f"where {wish.name} lies in {known} is not known",
            fix="annotate with --genome GRCh38, GRCh37, GRCm38 or GRCm39",
        )
    return places


def _is_par(name: str) -> bool:
    return name.upper() in {"PAR", "PAR1", "PAR2"}


def _overlap(
    on_chrom: np.ndarray, start: np.ndarray, end: np.ndarray, span: tuple[int, int]
) -> np.ndarray:
    """Features of a chromosome that overlap a span; one of no length counts as one base."""
    if span == (0, _END):
        return on_chrom
    return on_chrom & (start >= 0) & (start < span[1]) & (np.maximum(end, start + 1) > span[0])
