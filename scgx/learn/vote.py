"""Cells that lie together decide together: probabilities averaged over a cluster, or neighbours.

A cell has few transcripts and its neighbours say the same thing again. Each cell gets the mean of the
probabilities around it, its own included: the class with the largest sum wins, and what is said about
how sure that is stays consistent with it. What one cell is called then depends on the others, and
where rare types lie between common ones they lose: for noisy names of cells with clear clusters.
"""

from __future__ import annotations

import numpy as np

from scgx.learn.selection import parts

NEIGHBOURS = 15  # that vote for a cell, itself included
ROWS_AT_ONCE = 1_024


def in_clusters(probability: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Mean float32 (n, classes) over the cells of the same word (n,); a cell without one is alone."""
    known = np.array([word is not None for word in words], dtype=bool)
    made = probability.copy()
    if not known.any():
        return made
    names, codes = np.unique(words[known].astype(str), return_inverse=True)
    sums = np.zeros((len(names), probability.shape[1]))
    np.add.at(sums, codes, probability[known].astype(np.float64))
    sums /= np.bincount(codes)[:, None]
    made[known] = sums[codes]
    return made


def among_neighbours(probability: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Mean float32 (n, classes) over the nearest cells in `components` (n, rank), blockwise."""
    return averaged(probability, nearest(components)).astype(np.float32)


def nearest(components: np.ndarray) -> np.ndarray:
    """Rows int64 (n, 15) of the nearest cells of each, itself among them, in the order of rows."""
    most = min(NEIGHBOURS, len(components))
    square = (components**2).sum(axis=1)
    made = np.empty((len(components), most), np.int64)
    for part in parts(len(components), ROWS_AT_ONCE):
        distance = square - 2 * (components[part] @ components.T)
        made[part] = np.sort(np.argpartition(distance, most - 1, axis=1)[:, :most], axis=1)
    return made


def averaged(probability: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Mean float64 (n, classes) of the rows `near` (n, k) of each row."""
    made = np.empty(probability.shape)
    for part in parts(len(near), ROWS_AT_ONCE):
        made[part] = probability[near[part]].mean(axis=1, dtype=np.float64)
    return made
