"""Are the wrong cells the unsure ones? The error among the surest, over every share that is kept."""

import numpy as np

from scgx.metrics._calls import Calls, Design
from scgx.metrics._panel import Result
from scgx.metrics._ranked import Ranked


class Metric:
    """Area under the risk-coverage curve."""

    id = "aurc"
    definition = "mean error of the surest share c of cells, c = 1/n ... 1; ties are one point"
    direction = -1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._ranked = Ranked(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._ranked.add(calls)

    def result(self) -> Result:
        """The area; of the likeliest class, answered or not."""
        if not len(self._ranked):
            return Result(None, np.zeros(0), 0, note="no probabilities")
        draws = np.array([each.area() for each in self._ranked.drawn()])
        return Result(self._ranked.points().area(), draws, len(self._ranked))
