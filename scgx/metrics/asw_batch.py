"""Are the batches of a type mixed? A random embedding mixes them best."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._places import (
    NO_BATCHES,
    Array,
    Design,
    Places,
    mean_by_part,
    silhouettes,
    undefined,
)


class Metric:
    """One less the absolute silhouette of batches, within types."""

    id = "asw_batch"
    definition = (
        "per type with more than one batch and fewer batches than cells, the mean of 1 - "
        "abs(silhouette width of batches); mean over types; the others are counted as "
        "degenerate"
    )
    direction = 1
    gene_sets = False
    task = "embedding"

    def __init__(self, design: Design) -> None:
        self._design = design
        self._places: Places | None = None

    def update(self, places: Places) -> None:
        """Take in the cells, all at once."""
        self._places = places

    def result(self) -> Result:
        """The mean over types; None without two batches."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        if places.batches is None:
            return undefined(len(places.types), NO_BATCHES)
        values: list[float] = []
        draws: list[Array] = []
        skipped = 0
        for code in np.unique(places.types):
            rows = np.flatnonzero(places.types == code)
            batches = places.batches[rows]
            if not 1 < len(np.unique(batches)) < len(rows):
                skipped += 1
                continue
            mixed = 1 - np.abs(silhouettes(places.vectors[rows], batches))
            value, drawn = mean_by_part(mixed, places.parts[rows], self._design)
            values.append(value)
            draws.append(drawn)
        if not values:
            return undefined(0, "no type has two batches")
        drawn = np.ma.masked_invalid(np.stack(draws)).mean(axis=0)
        return Result(float(np.mean(values)), drawn.filled(np.nan), len(values), skipped)
