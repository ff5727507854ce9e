"""Training cells again, drawn with replacement: a generator that is perfect and made of copies.

It says how well synthetic cells of this number could do, and every measure of memorisation has to
raise the alarm at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.conditions import group_of, groups
from scgx.learn.config import knob
from scgx.learn.draws import multinomial
from scgx.learn.generative import GenerativeData
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
GENERATES = {"rna", "activity", "adt", "atac"}


@dataclass(frozen=True)
class Config:
    """From which cells it draws."""

    least: int = knob(1, least=1)  # cells of a combination of conditions that stands alone


class Model:
    """The training cells, group by group."""

    def __init__(self, own: np.ndarray, cells: sparse.csr_array, group: np.ndarray) -> None:
        self.own = own  # combinations that are groups by themselves, int64 (g, columns)
        self.cells = cells  # int32 (n, features), sorted by label
        self.group = group  # int64 (n, 2): label, and combination or -1

    @classmethod
    def fit(cls, data: GenerativeData, config: Config, *, seed: int, report: Report) -> Self:
        """Keep the training rows; DataError where they do not fit."""
        own, labels = groups(data.conditions, config.least), data.conditions.sizes[0]
        parts, codes, held = [], [], 0
        for block in data.blocks(data.train):
            parts.append(sparse.csr_array(block.x, dtype=np.int32))
            codes.append(block.codes)
            held += 8 * block.x.nnz
            if held > data.memory // 3:
                raise DataError(
                    "the training cells do not fit into a third of --memory",
                    fix="more --memory, or fewer --features",
                )
        every = np.concatenate(codes)
        group = group_of(own, every, labels)
        kind = np.column_stack([every[:, 0], np.where(group >= labels, group, -1)])
        return cls(own, sparse.csr_array(sparse.vstack(parts, format="csr")), kind)

    def save(self) -> Mapping[str, bytes]:
        cells = {name: getattr(self.cells, name) for name in ("data", "indices", "indptr")}
        shape = np.array(self.cells.shape, np.int64)
        return {
            "cells.safetensors": pack_arrays(
                {**cells, "shape": shape, "own": self.own, "group": self.group}
            )
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["cells.safetensors"])
        parts = (found["data"], found["indices"], found["indptr"])
        return cls(
            found["own"], sparse.csr_array(parts, shape=tuple(found["shape"])), found["group"]
        )

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """Cells of the combination, or of the label where no training cell had it.

        With a `library`, the counts of a cell are dealt anew in its proportions.
        """
        labels = int(self.group[:, 0].max()) + 1
        wanted = group_of(self.own, codes, labels)
        chance, chosen = rng.random(len(codes)), np.zeros(len(codes), np.int64)
        for one in np.unique(wanted):
            known = np.flatnonzero(self.group[:, int(one >= labels)] == one)
            mine = wanted == one
            chosen[mine] = known[(chance[mine] * len(known)).astype(np.int64)]
        cells = self.cells[chosen]
        if library is None:
            return cells
        share = cells.toarray().astype(np.float64)
        share[share.sum(axis=1) == 0] = 1
        return multinomial(share, rng.poisson(library), rng)
