"""Is the order of cells along a trajectory kept? A random embedding scores .5."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, undefined
from scgx.metrics._trajectory import conserved


class Metric:
    """Rank correlation of pseudotimes, within batches."""

    id = "ti_cons_batch"
    definition = (
        "diffusion pseudotime of the embedding against that in obs, Spearman's r within "
        "batches, (mean + 1) / 2; the root is a cell of the earliest type that is extreme in "
        "most of three diffusion components; cells outside the largest component get 0; mean "
        "over the pseudotimes in obs"
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
        """The mean over pseudotimes; None where there is none."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        if not places.orders:
            return undefined(0, "no pseudotime in obs")
        values = [conserved(places, order) for order in places.orders]
        return Result(float(np.mean(values)), np.zeros(0), len(values))
