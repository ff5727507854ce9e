"""As the headline, on mid-ranks: what remains when the shape of the scale does not matter."""

from typing import Self

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Panel, Result, pearson


class Metric:
    """Mean over features of Spearman's rho; zeros tie; draws keep the ranks."""

    id = "spearman_per_feature"
    definition = (
        "mean over all features of the Pearson correlation of mid-ranks across cells (zeros tie); "
        "a feature without variance on either side counts 0; bootstrap draws keep the ranks"
    )
    direction = 1
    gene_sets = True

    def __init__(self, design: Design) -> None:
        self._design = design
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        r, flat = pearson(panel.rank_parts.over_parts())
        drawn = pearson(panel.rank_parts.drawn(self._design.weights))[0]
        self._mean.add(panel.columns, r, flat, drawn)

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over a gene set."""
        return self._mean.result(subset)
