"""How far apart two sets of cells are, to a kernel at several scales."""

import numpy as np

from scgx.metrics._sets import Array, Design, Pair, Repeats, Result, blocks

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance between training cells


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


def mmd2(x: Array, y: Array, median: float) -> float:
    """The discrepancy of two sets of points; NaN under two on a side, or without a scale."""
    n, m = len(x), len(y)
    if min(n, m) < 2 or median <= 0:
        return float("nan")
    across, left, right = (_kernel(a, b, median) for a, b in ((x, y), (x, x), (y, y)))
    own = len(SCALES)  # a point and itself
    return (
        (left - own * n) / (n * (n - 1)) + (right - own * m) / (m * (m - 1)) - 2 * across / (n * m)
    )


def _kernel(x: Array, y: Array, median: float) -> float:
    """The sum of the kernels over all pairs."""
    total = 0.0
    for start, block in blocks(x, y):
        if x is y:
            inside = np.arange(len(block))
            block[inside, start + inside] = 0  # rounding aside, it is
        for scale in SCALES:
            total += float(np.exp(-(block**2) / (2 * (scale * median) ** 2)).sum())
    return total
