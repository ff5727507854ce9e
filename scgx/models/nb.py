"""Independent negative binomials: every gene of every class by itself, at the depth of a real cell.

The simplest generator that is fair to single genes: means, variances and zeros of a class are right,
and nothing that genes do together is. What a better generator earns is seen beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.conditions import group_of, groups
from scgx.learn.config import knob
from scgx.learn.draws import negative_binomial
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
GENERATES = {"rna", "activity", "adt"}


@dataclass(frozen=True)
class Config:
    """How far small groups lean on the others."""

    least: int = knob(25, least=1)  # cells of a combination of conditions that stands alone
    lean: float = knob(20.0, least=0)  # cells that the dispersion of all classes counts for


class Marginals(NamedTuple):
    """Share of the counts and dispersion of each gene in each group, float32 (groups, features)."""

    share: np.ndarray
    dispersion: np.ndarray


class Model:
    """Marginals of every group, and how deep its cells are."""

    def __init__(self, own: np.ndarray, marginals: Marginals, library: Library) -> None:
        self.own = own  # combinations that are groups by themselves, int64 (g, columns)
        self.marginals = marginals
        self.library = library

    @classmethod
    def fit(cls, data: GenerativeData, config: Config, *, seed: int, report: Report) -> Self:
        """Moments of the training rows, in one pass."""
        own = groups(data.conditions, config.least)
        marginals, library = moments(data, own, lean=config.lean)
        return cls(own, marginals, library)

    def save(self) -> Mapping[str, bytes]:
        arrays = {"own": self.own, **self.marginals._asdict(), **self.library._asdict()}
        return {"marginals.safetensors": pack_arrays(arrays)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["marginals.safetensors"])
        marginals = Marginals(found["share"], found["dispersion"])
        return cls(found["own"], marginals, Library(found["totals"], found["ends"]))

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """Counts, gene by gene."""
        group = group_of(self.own, codes, len(self.marginals.share) - len(self.own))
        depth = self.library.draw(group, rng) if library is None else library
        mean = self.marginals.share[group] * depth[:, None]
        return negative_binomial(mean, self.marginals.dispersion[group], rng)


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
