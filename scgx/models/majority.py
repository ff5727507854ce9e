"""The commonest class for every cell, with the share of each class as its probability.

What any classifier has to beat; it looks at no feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.labels import LabelledData
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class Model:
    """Shares of the classes among training cells."""

    def __init__(self, share: np.ndarray) -> None:
        self.share = share  # (classes,) float32

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Count; `--balance` changes nothing here, since shares are what is learned."""
        return cls((data.counts / data.counts.sum()).astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        return {"share.safetensors": pack_arrays({"share": self.share})}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(unpack_arrays(members["share.safetensors"])["share"])

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: the same row for each cell."""
        return np.tile(np.log(self.share), (block.x.shape[0], 1))
