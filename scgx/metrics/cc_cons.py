"""Is as much of the cell cycle left as expression has?"""

import numpy as np

from scgx.metrics._cycle import explained_by, principal
from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, undefined


class Metric:
    """Variance explained by the cell cycle, before and after."""

    id = "cc_cons"
    definition = (
        "per batch 1 - abs(after - before) / before, at least 0, of the variance explained by "
        "the scores of S and G2M: the sum over up to 50 principal components of share of "
        "variance times R2; before in log1p-cp10k of RNA, after in the embedding; mean over "
        "batches"
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
        """The mean over batches; None where the scores of S and G2M are not known."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        if places.cycle is None or not places.before:
            return undefined(0, "no S_score and G2M_score in obs")
        batches = np.zeros(len(places.types), int) if places.batches is None else places.batches
        values, lost = [], 0
        for code, before in places.before.items():
            rows = batches == code
            after = explained_by(principal(places.vectors[rows]), places.cycle[rows])
            if after is None or before <= 0:
                lost += 1
                continue
            values.append(max(0.0, 1 - abs(after - before) / before))
        if not values:
            return undefined(0, "nothing varies with the cell cycle")
        return Result(float(np.mean(values)), np.zeros(0), len(values), lost)
