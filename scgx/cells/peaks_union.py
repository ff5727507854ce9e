"""One set of peaks for several datasets: the union of those that overlap, or a reference.

Two callers of peaks never agree on the borders of a peak. Peaks of all files that overlap by a base
become one, from the first base to the last; with a reference each peak goes to the one it overlaps
most. Counts of the peaks that become one are added up, presence stays presence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, InputError
from scgx.genome import chroms
from scgx.genome.lines import numbered
from scgx.genome.peaks import Places

Array = np.ndarray
_SPAN = 41  # bits of a position: chromosomes laid end to end do not touch


class Unified(NamedTuple):
    """m peaks in genome order, and for each file which of them each of its peaks is (-1: none)."""

    chrom: Array
    start: Array
    end: Array
    of: list[Array]

    @property
    def names(self) -> Array:
        """`chr1:100-200`, 0-based half-open."""
        spans = zip(self.chrom, self.start, self.end, strict=True)
        return np.array([f"{chrom}:{start}-{end}" for chrom, start, end in spans], dtype=object)


def union(files: Sequence[Places]) -> Unified:
    """Merge what overlaps by at least a base; peaks that only touch stay apart."""
    sizes = [len(places.start) for places in files]
    whole = Places(*(np.concatenate(parts) for parts in zip(*files, strict=True)))
    known = np.flatnonzero(whole.known)
    order = known[chroms.genome_order(whole.chrom[known], whole.start[known], whole.end[known])]
    chrom, start, end = whole.chrom[order], whole.start[order], whole.end[order]
    offset = chroms.ranks(chrom) << _SPAN
    reach = np.maximum.accumulate(end + offset)
    fresh = np.append(True, (start + offset)[1:] >= reach[:-1])[: len(order)]
    group = np.cumsum(fresh) - 1
    of = np.full(sum(sizes), -1, dtype=np.int64)
    of[order] = group
    first = np.flatnonzero(fresh)
    last = np.maximum.reduceat(end, first) if len(first) else end
    return Unified(chrom[first], start[first], last, np.split(of, np.cumsum(sizes)[:-1]))


def onto(reference: Places, files: Sequence[Places]) -> Unified:
    """Assign every peak to the reference peak that it overlaps most (the first of equals)."""
    order = chroms.genome_order(*reference)
    chrom, start, end = (part[order] for part in reference)
    of = [_best(places, chrom, start, end) for places in files]
    return Unified(chrom, start, end, of)


def read_bed(path: Path, name: str) -> Places:
    """Reference peaks out of a BED: chromosome, start, end; InputError with the line of a fault."""
    rows: list[tuple[str, int, int]] = []
    for number, line in numbered(path, name):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t")
        if len(cells) < 3 or not (cells[1].strip().isdigit() and cells[2].strip().isdigit()):
            raise InputError(
                f"line {number} is no BED line",
                fix="chromosome, start, end, with tabs between",
                file=name,
            )
        rows.append((cells[0], int(cells[1]), int(cells[2])))
        if rows[-1][1] >= rows[-1][2]:
            raise InputError(f"line {number}: start lies behind end", file=name)
    if not rows:
        raise InputError("has no peaks", file=name)
    names = chroms.normalise([row[0] for row in rows]).names
    places = sorted({(c, s, e) for c, (_, s, e) in zip(names, rows, strict=True) if c is not None})
    chrom = np.array([place[0] for place in places], dtype=object)
    start, end = (np.array([place[i] for place in places], dtype=np.int64) for i in (1, 2))
    return Places(chrom, start, end)


def require_places(places: Places, file: str) -> None:
    """DataError where a peak does not say where it lies."""
    nowhere = int((~places.known).sum())
    if nowhere:
        raise DataError(
            f"{nowhere:,} peaks have no place",
            fix="scgx annotate-coords, or names such as chr1:100-200",
            file=file,
        )


def _best(places: Places, chrom: Array, start: Array, end: Array) -> Array:
    """For each peak the reference peak with most bases in common, -1 without any."""
    of = np.full(len(places.start), -1, dtype=np.int64)
    for name in set(places.chrom) - {None}:
        theirs = np.flatnonzero(chrom == name)
        if not len(theirs):
            continue
        mine = np.flatnonzero((places.chrom == name) & places.known)
        reach = np.maximum.accumulate(end[theirs])  # ascending, so that bisection finds the first
        low = np.searchsorted(reach, places.start[mine], side="right")
        high = np.searchsorted(start[theirs], places.end[mine], side="left")
        for row, lo, hi in zip(mine, low, high, strict=True):
            some = theirs[lo:hi]
            shared = np.minimum(end[some], places.end[row]) - np.maximum(
                start[some], places.start[row]
            )
            if len(some) and shared.max() > 0:
                of[row] = some[int(shared.argmax())]
    return of
