"""Are the nearest cells of the same type?"""

from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, mean_by_part, undefined


class Metric:
    """Share of a cell's neighbours that are of its type."""

    id = "knn_purity"
    definition = (
        "share of the 14 nearest other cells (Euclidean) that are of the cell's own type, "
        "mean over cells"
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
        """The mean over cells."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        same = places.types[places.near.rows] == places.types[:, None]
        value, draws = mean_by_part(same.mean(axis=1), places.parts, self._design)
        return Result(value, draws, len(same))
