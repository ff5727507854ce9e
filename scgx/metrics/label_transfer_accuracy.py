"""Does a cell's nearest cell of the other modality have its label?"""

from scgx.metrics._label_transfer import transferred
from scgx.metrics._matching import Design, Match, PerRow
from scgx.metrics._panel import Result


class Metric:
    """The share of cells whose nearest column has their label."""

    id = "label_transfer_accuracy"
    definition = (
        "share of labelled cells whose nearest candidate of the other modality, the first of equals, "
        "has their label"
    )
    direction = 1
    gene_sets = False
    task = "matching"
    variants = ("",)

    def __init__(self, design: Design) -> None:
        self._mean = PerRow(design)

    def update(self, match: Match) -> None:
        """Take in a match; nothing where there are no labels."""
        found = transferred(match)
        if found is not None:
            self._mean.add(found.right, match)

    def result(self, variant: str = "") -> Result:
        """The mean over cells."""
        note = "" if self._mean.n else "no labels"
        return Result(self._mean.value, self._mean.draws, self._mean.n, note=note)
