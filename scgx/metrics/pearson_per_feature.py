"""The headline of cross-modality prediction: does a feature rise and fall in the right cells?

The mean profile scores 0 by construction, which is why this one leads and the mean squared error
does not. A perfect prediction scores the share of features that vary at all.
"""

from typing import Self

from scgx.metrics._mean import FeatureMean
from scgx.metrics._panel import Design, Panel, Result, pearson


class Metric:
    """Mean over features of r(T_g, P_g) across cells; no variance on a side counts 0."""

    id = "pearson_per_feature"
    definition = (
        "mean over all features of the Pearson correlation of truth and guess across cells; "
        "a feature without variance on either side counts 0"
    )
    direction = 1
    gene_sets = True

    def __init__(self, design: Design) -> None:
        self._mean = FeatureMean(design)

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        r, flat = pearson(panel.moments)
        self._mean.add(panel.columns, r, flat, pearson(panel.drawn)[0])

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._mean.merge(other._mean, columns)

    def result(self, subset: str = "") -> Result:
        """The mean over a gene set."""
        return self._mean.result(subset)
