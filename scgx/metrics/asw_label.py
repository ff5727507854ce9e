"""Are cells nearer to their own type than to any other?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, mean_by_part, silhouettes, undefined


class Metric:
    """Mean silhouette of types."""

    id = "asw_label"
    definition = "mean silhouette width of types (Euclidean), brought from -1..1 to 0..1"
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
        """From 0 to 1; 0.5 where types do not differ."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        if len(np.unique(places.types)) < 2:
            return undefined(len(places.types), "one type")
        width = silhouettes(places.vectors, places.types)
        value, draws = mean_by_part((width + 1) / 2, places.parts, self._design)
        return Result(value, draws, len(width))
