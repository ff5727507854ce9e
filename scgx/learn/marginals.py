"""What each gene does in each group of cells by itself: its share of the counts and its dispersion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.learn.conditions import group_of
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library


class Marginals(NamedTuple):
    """Share of the counts and dispersion of each gene in each group, float32 (groups, features)."""

    share: np.ndarray
    dispersion: np.ndarray


def moments(data: GenerativeData, own: np.ndarray, *, lean: float) -> tuple[Marginals, Library]:
    """Shares, dispersions and totals of each level of the label, then of each combination of `own`.

    With l the depth of a cell and p the share of a gene, (x - l p)² - x is on average the dispersion
    times (l p)²: sums over the cells give it, those of all labels counting for `lean` more cells.
    """
    labels = data.conditions.sizes[0]
    n_groups, width = labels + len(own), len(data.columns)
    x1, x2, lx = (np.zeros((n_groups, width)) for _ in range(3))
    totals: list[list[np.ndarray]] = [[] for _ in range(n_groups)]
    for block in data.blocks(data.train):
        depth = np.asarray(block.x.sum(axis=1), np.float64).ravel()
        label, group = block.codes[:, 0], group_of(own, block.codes, labels)
        for ids in (label, np.where(group >= labels, group, -1)):
            part = np.flatnonzero(ids >= 0)
            shape = (n_groups, len(part))
            into = sparse.csr_array((np.ones(len(part)), (ids[part], np.arange(len(part)))), shape)
            x = block.x[part].astype(np.float64)
            x1 += (into @ x).toarray()
            x2 += (into @ x.multiply(x)).toarray()
            lx += (into @ x.multiply(depth[part][:, None])).toarray()
            for one in np.unique(ids[part]):
                totals[one].append(depth[part[ids[part] == one]])
    depths = [np.concatenate(parts) if parts else np.zeros(0) for parts in totals]
    l1 = np.array([part.sum() for part in depths])[:, None]
    l2 = np.array([(part**2).sum() for part in depths])[:, None]
    share = x1 / np.maximum(l1, 1)
    above = x2 - 2 * share * lx + share**2 * l2 - x1
    below = share**2 * l2
    cells = max(sum(len(part) for part in depths[:labels]), 1)
    above += above[:labels].sum(axis=0) * (lean / cells)
    below += below[:labels].sum(axis=0) * (lean / cells)
    dispersion = np.maximum(np.divide(above, below, out=np.zeros_like(above), where=below > 0), 0)
    found = Marginals(share.astype(np.float32), dispersion.astype(np.float32))
    return found, Library.of(depths)
