"""How far apart two sets of points are: by distances, and to kernels of several widths."""

import numpy as np

from scgx.metrics._sets import Array, blocks

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance between training cells


def energy(x: Array, y: Array) -> float:
    """The energy distance of two sets of points, unbiased; NaN under two on a side."""
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return float("nan")
    across, left, right = (
        sum(float(block.sum()) for _, block in blocks(a, b)) for a, b in ((x, y), (x, x), (y, y))
    )
    return 2 * across / (n * m) - left / (n * (n - 1)) - right / (m * (m - 1))


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
