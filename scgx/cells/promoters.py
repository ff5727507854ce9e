"""Do peaks and genes belong to the same assembly? Open chromatin gathers where genes start.

Peaks carry no names that could be compared with an annotation, but in the right assembly four times as
many transcription starts have a peak as places 100,000 bases beside them; in another assembly, where
everything has moved, no more than chance has it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scgx.cells.coordinates import Coordinates
from scgx.genome.annotation import Genes
from scgx.genome.overlap import Intervals, overlaps

NEAR = 1000  # bases between a start and its peak
BESIDE = 100_000
ENOUGH = 100.0  # places with a peak by chance, below which nothing is concluded


class Gathering(NamedTuple):
    """How many starts of genes have a peak, and how many places beside them (a mean)."""

    at_starts: int
    beside: float

    @property
    def doubtful(self) -> bool:
        """True where peaks do not gather at the starts although there are enough to tell."""
        return self.beside >= ENOUGH and self.at_starts < 1.5 * self.beside


def gathering(peaks: Coordinates, genes: Genes) -> Gathering:
    """Count starts of genes within 1,000 bases of a peak, and places 100,000 bases away from them."""
    open_places = Intervals(peaks.chrom, peaks.start, peaks.end)

    def with_peak(offset: int) -> int:
        at = genes.tss + offset
        site = Intervals(genes.chrom, np.where(at >= 0, at, -1), np.where(at >= 0, at + 1, -1))
        return len(np.unique(overlaps(site, open_places, window=NEAR).left))

    return Gathering(with_peak(0), (with_peak(-BESIDE) + with_peak(BESIDE)) / 2)
