"""Is what made cells teach true of real ones?"""

from scgx.metrics._calls import Calls, Design, Tally, macro_f1
from scgx.metrics._panel import Result


class Metric:
    """Train on synthetic, test on real."""

    id = "tstr"
    definition = (
        "mean F1 of classes on real held-out cells, of a classifier that learned from made "
        "cells alone"
    )
    direction = 1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """Mean F1 over classes on either side; `features` has the F1 of each."""
        return macro_f1(self._tally)
