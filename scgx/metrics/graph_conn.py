"""Does every type hang together?"""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, components, undefined


class Metric:
    """The largest piece of each type in the graph of neighbours."""

    id = "graph_conn"
    definition = (
        "mean over types of the share of its cells in the largest connected component of the "
        "graph of 15 nearest neighbours among them"
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
        """The mean over types; a property of the graph, so without draws."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        shares = []
        for code in np.unique(places.types):
            rows = np.flatnonzero(places.types == code)
            piece = components(places.graph[rows][:, rows])
            shares.append(np.bincount(piece).max() / len(rows))
        return Result(float(np.mean(shares)), np.zeros(0), len(shares))
