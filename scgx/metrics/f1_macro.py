"""The mean F1 of classes: what is found and what is claimed, rare classes like common ones."""

from scgx.metrics._calls import Calls, Design, Tally, macro_f1
from scgx.metrics._panel import Result


class Metric:
    """Mean F1."""

    id = "f1_macro"
    definition = (
        "mean of 2TP/(2TP+FP+FN) over the classes of truth and guess; absent from the truth: 0"
    )
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """Mean F1 over classes on either side; `features` has the F1 of each."""
        return macro_f1(self._tally)
