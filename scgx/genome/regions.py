"""Which features lie on the regions that a user asks for.

Regions are 1-based inclusive as samtools reads them; features are 0-based half-open; a feature that
overlaps a region is in it. `PAR`, `PAR1` and `PAR2` are the pseudoautosomal regions of X and Y.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from scgx.errors import DataError
from scgx.genome import builds, chroms
from scgx.genome.query import END, Region


@dataclass(frozen=True)
class Selection:
    """Which features are in: `keep` (bool, n) and what has to be said about it."""

    keep: np.ndarray
    missing: int  # features without a chromosome: never kept
    unplaced: int  # features with a chromosome but no position, where positions were asked for
    empty: list[str] = field(default_factory=list)  # wishes that no feature met, as spelled
    shared: int = 0  # kept features that lie in the regions that X and Y share


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
    if span == (0, END):
        return on_chrom
    return on_chrom & (start >= 0) & (start < span[1]) & (np.maximum(end, start + 1) > span[0])
