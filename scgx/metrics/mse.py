"""Mean squared error: easily read, hardly informative, for the mean profile is strong."""

from typing import Self

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Panel, Result


class Metric:
    """Mean (T - P)^2 over all entries."""

    id = "mse"
    definition = "mean of (truth - guess)^2 over all cells x features, zeros included"
    direction = -1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._cells = design.n_cells
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        m, drawn = panel.moments, panel.drawn
        values = m.mean_error()
        self._mean.add(panel.columns, values, values < 0, drawn.mean_error())

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over all entries of a gene set, of which there are `n`."""
        mean = self._mean.result(subset)
        return mean._replace(n=mean.n * self._cells)
