"""The mean share of each class that is found, so that rare classes count like common ones."""

from scgx.metrics._calls import Calls, Design, Tally, mean_of, over_classes
from scgx.metrics._panel import Result


class Metric:
    """Mean recall."""

    id = "balanced_accuracy"
    definition = "mean over the classes of the truth of right cells / cells of the class"
    direction = 1
    gene_sets = False
    task = "labels"

    def __init__(self, design: Design) -> None:
        self._tally = Tally(design)

    def update(self, calls: Calls) -> None:
        """Take in some cells."""
        self._tally.add(calls)

    def result(self) -> Result:
        """Mean recall over classes present in the truth."""
        recall = self._tally.total.recall()
        return over_classes(mean_of(recall), mean_of(self._tally.drawn.recall()), recall)
