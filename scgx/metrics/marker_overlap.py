"""Would made cells name the same markers of a class?"""

import numpy as np

from scgx.metrics._marked import contrasts
from scgx.metrics._sets import Array, Design, Pair, Repeats, Result

MARKERS = 50


class Metric:
    """Shared markers."""

    id = "marker_overlap"
    definition = (
        "share of the 50 genes with the highest t (class against the rest) in real cells that "
        "are among the 50 of made cells, mean over classes"
    )
    direction = 1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        found = []
        for real, fake in contrasts(pair):
            mine, theirs = _markers(real.t), _markers(fake.t)
            found.append(len(mine & theirs) / len(mine))
        self._seen.add(float(np.mean(found)) if found else float("nan"), len(found))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()


def _markers(t: Array) -> set[int]:
    return set(np.argsort(-t, kind="stable")[:MARKERS].tolist())
