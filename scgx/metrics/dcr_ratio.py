"""Do made cells lie nearer to training cells than fresh real cells do?"""

import numpy as np

from scgx.metrics._sets import Design, Pair, Repeats, Result, nearest


class Metric:
    """Distance to the closest training record."""

    id = "dcr_ratio"
    definition = (
        "median distance of made cells to the nearest real training cell over that of real "
        "held-out cells, in 50 components; 1 is best, far below 1 is copying"
    )
    direction = 1
    target = 1.0  # the best value
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()
        self._train = design.train.components

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        real, fake = (nearest(s.components, self._train) for s in (pair.real, pair.fake))
        usual = float(np.median(real))
        ratio = float(np.median(fake)) / usual if usual > 0 else float("nan")
        self._seen.add(ratio, len(pair.fake))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
