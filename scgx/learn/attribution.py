"""What a model makes of a peak, gene by gene: what changes in its prediction where the peak is opened.

The same question for every model, whatever it is inside: some training cells are asked for again with
the peak open and with it closed, and the difference in the predicted gene is averaged. No gradients,
since inputs are open or closed and nothing between.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.apply import ROWS
from scgx.learn.block import CellBlock
from scgx.learn.data import TrainingData
from scgx.learn.model import Predicts

REFERENCES = 8  # cells that are asked for


def attribute(
    model: object,
    data: TrainingData,
    rows: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> np.ndarray:
    """The mean change of the gene where the peak is opened, float32 (n,), for pairs of genes and peaks.

    `data` has the model's features in its own order; the cells are drawn from `rows`.
    """
    if not isinstance(model, Predicts):
        raise DataError("never predicts a modality, so it attributes nothing to peaks")
    gene, peak = pairs
    rng = np.random.default_rng([seed, 2])
    cells = np.sort(rng.choice(rows, min(REFERENCES, len(rows)), replace=False))
    asked, at = np.unique(peak, return_inverse=True)
    order = np.argsort(at, kind="stable")
    total = np.zeros(len(peak))
    for cell in cells:
        block = data.block(np.full(ROWS, cell))
        one = block.x[[0]]
        before = model.predict(block)[0].astype(np.float64)
        for start in range(0, len(asked), ROWS):
            part = asked[start : start + ROWS]
            after = model.predict(_flipped(block, one, part))[: len(part)].astype(np.float64)
            here = order[
                np.searchsorted(at[order], start) : np.searchsorted(at[order], start + ROWS)
            ]
            was_open = np.isin(peak[here], one.indices)
            change = after[at[here] - start, gene[here]] - before[gene[here]]
            total[here] += np.where(was_open, -change, change)
    return (total / max(len(cells), 1)).astype(np.float32)


def _flipped(block: CellBlock, one: sparse.csr_array, peaks: np.ndarray) -> CellBlock:
    """512 copies of a cell, in each of which one peak is opened, or closed where it was open."""
    kept = []
    for peak in peaks:
        place = np.searchsorted(one.indices, peak)
        there = place < one.nnz and one.indices[place] == peak
        kept.append(np.delete(one.indices, place) if there else np.insert(one.indices, place, peak))
    kept += [one.indices] * (ROWS - len(kept))
    indptr = np.concatenate([[0], np.cumsum([len(each) for each in kept])])
    ones = np.ones(indptr[-1], np.float32)
    x = sparse.csr_array((ones, np.concatenate(kept), indptr), shape=(ROWS, one.shape[1]))
    return CellBlock(x, block.obs, np.asarray(x.sum(axis=1), np.float64).ravel(), block.present)
