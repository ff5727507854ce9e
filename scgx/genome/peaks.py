"""Places that are written into names: `chr1:100-200`, `chr1-100-200`, `chr1_100_200`, `1-100-200`.

Peak names carry 0-based half-open coordinates, as the BED files do that they are made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from scgx.genome import chroms

# the chromosome may contain every separator (chr1_KI270706v1_random-1-2), so the end is anchored
_PEAK = re.compile(r"(.+?)(?:(:)([\d,]+)[-_]([\d,]+)|-(\d+)-(\d+)|_(\d+)_(\d+)|\.(\d+)\.(\d+))$")


class Places(NamedTuple):
    """Where features are: `chrom` object, `start` and `end` int64; no place is None and -1."""

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """True where there is a place."""
        return self.start >= 0


def parse(names: Iterable[object]) -> Places:
    """The place in every name that has one; 200,000 names take well under a second.

    A name counts where its first part is a chromosome or contig, or a colon stands after it, and
    the start lies before the end; a gene called `MIR-1-2` has no place.
    """
    names = list(names)
    raw: list[str | None] = [None] * len(names)
    start = np.full(len(names), -1, dtype=np.int64)
    end = np.full(len(names), -1, dtype=np.int64)
    for i, name in enumerate(names):
        match = _PEAK.match(name) if isinstance(name, str) else None
        if match is None:
            continue
        chrom, colon, *numbers = match.groups()
        first, last = (int(n.replace(",", "") or -1) for n in numbers if n is not None)
        if 0 <= first < last < 2**40 and (colon or chroms.canonical(chrom)):
            raw[i], start[i], end[i] = chrom, first, last
    return Places(chroms.normalise(raw).names, start, end)
