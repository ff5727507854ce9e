"""How far apart two sets of cells are, to a kernel at several scales."""

from scgx.metrics._apart import mmd2
from scgx.metrics._sets import Design, Pair, Repeats, Result


class Metric:
    """Squared maximum mean discrepancy in components."""

    id = "mmd2"
    definition = (
        "unbiased squared maximum mean discrepancy of real and made cells in so many "
        "components, summed over Gaussian kernels of 1/4, 1/2, 1, 2 and 4 times the median "
        "distance of real training cells"
    )
    direction = -1
    gene_sets = False
    task = "generation"
    variants = ("50", "10")

    def __init__(self, design: Design) -> None:
        self._seen = {width: Repeats() for width in self.variants}
        self._scales = design.scales

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        for variant, seen in self._seen.items():
            x, y = (side.components[:, : int(variant)] for side in (pair.real, pair.fake))
            seen.add(mmd2(x, y, self._scales[int(variant)]), len(x))

    def result(self, variant: str = "50") -> Result:
        """The mean over draws of cells."""
        return self._seen[variant].result()
