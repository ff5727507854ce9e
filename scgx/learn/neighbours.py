"""Cells that are alike in the target: sampling noise averaged away before anything is learned.

A cell's few hundred transcripts say little; its neighbours in the target's own components say the
same thing again. Targets that are averaged over neighbours teach a linear model the same function
with less noise. Only for training: what a model is judged by is never smoothed.
"""

import numpy as np

from scgx.learn.selection import parts

ROWS_AT_ONCE = 1_024


def smoothed(components: np.ndarray, *, dimensions: int, neighbours: int) -> np.ndarray:
    """Components (n, k) float32 averaged over each row's nearest rows, itself included.

    Near in the first `dimensions` of them. In blocks: memory is 8 * 1,024 * n bytes; time n^2.
    """
    space = components[:, :dimensions]
    neighbours = min(neighbours, len(space))
    if neighbours <= 1:
        return components
    square = (space**2).sum(axis=1)
    out = np.empty_like(components)
    for part in parts(len(space), ROWS_AT_ONCE):
        distance = square - 2 * (space[part] @ space.T)
        near = np.sort(np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours], axis=1)
        out[part] = components[near].mean(axis=1)
    return out
