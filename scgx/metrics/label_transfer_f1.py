"""The same as the accuracy of label transfer, with every class of equal weight."""

import numpy as np

from scgx.metrics._calls import Calls, Tally, macro_f1
from scgx.metrics._calls import Design as ByClass
from scgx.metrics._label_transfer import transferred
from scgx.metrics._matching import Design, Match
from scgx.metrics._panel import Result


class Metric:
    """The mean F1 over classes of the label of the nearest column."""

    id = "label_transfer_f1"
    definition = (
        "mean over classes of the F1 of the label of the nearest candidate of the other modality, "
        "against the cell's own"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._tally = Tally(ByClass(design.classes, design.weights))

    def update(self, match: Match) -> None:
        """Take in a match; nothing where there are no labels."""
        found = transferred(match)
        if found is None:
            return
        rows = match.judged[np.isfinite(found.right[match.judged])]
        calls = found.own[rows], found.taken[rows], found.taken[rows], match.parts[rows]
        self._tally.add(Calls(*calls))

    def result(self, variant: str = "") -> Result:
        """The mean over classes; None without labels."""
        if not self._tally.total.n:
            return Result(None, np.zeros(0), 0, note="no labels")
        return macro_f1(self._tally)
