"""Classes in an order in which those that are mistaken for each other stand side by side."""

from collections.abc import Iterable

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from scgx.metrics._calls import Array


def by_confusion(matrices: Iterable[Array]) -> Array:
    """Codes of the classes, from counts (true, guessed) of one guess or several.

    Average linkage of one minus the share of cells that two classes exchange; two classes or fewer
    stay as they are.
    """
    share = sum(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) for counts in matrices)
    together = np.asarray(share, dtype=np.float64)
    n = len(together)
    if n < 3:
        return np.arange(n)
    near = (together + together.T) / 2
    far = near.max() - near
    np.fill_diagonal(far, 0)
    made: Array = leaves_list(linkage(squareform(far, checks=False), "average"))
    return made
