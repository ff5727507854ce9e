"""The mean profile of the training cells, for every cell: what any model has to beat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.data import TrainingData
from scgx.learn.profile import mean_profile
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class Model:
    """Predicts the training mean."""

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Mean of each output over the training rows, in the output's units."""
        return cls(mean_profile(data, data.train))

    def save(self) -> Mapping[str, bytes]:
        return {"mean.safetensors": pack_arrays({"mean": self.mean})}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(unpack_arrays(members["mean.safetensors"])["mean"])

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32: the same profile for each row."""
        return np.tile(self.mean, (block.x.shape[0], 1))
