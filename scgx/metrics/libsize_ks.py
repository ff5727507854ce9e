"""Are made cells as deep as real ones?"""

from scipy import stats

from scgx.metrics._sets import Design, Pair, Repeats, Result


class Metric:
    """Kolmogorov-Smirnov distance of library sizes."""

    id = "libsize_ks"
    definition = (
        "largest difference between the distributions of counts per cell of real and of made cells"
    )
    direction = -1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        found = stats.ks_2samp(pair.real.totals, pair.fake.totals, method="asymp")
        self._seen.add(float(found.statistic), len(pair.real))

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
