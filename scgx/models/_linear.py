"""A score per class that is linear in the inputs: kept, used and explained alike however it was found.

A feature that a file lacks counts with its training mean, so that it speaks for no class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.model import Why


class Linear:
    """A coefficient per feature and class."""

    def __init__(self, slope: np.ndarray, intercept: np.ndarray, mean: np.ndarray) -> None:
        self.slope = slope  # (features, classes) float32
        self.intercept = intercept  # (classes,) float32
        self.mean = mean  # (features,) float32, over training rows

    def save(self) -> Mapping[str, bytes]:
        arrays = {"slope": self.slope, "intercept": self.intercept, "mean": self.mean}
        return {"coefficients.safetensors": pack_arrays(arrays)}

    @classmethod
    def restore(cls, config: Any, members: Mapping[str, bytes]) -> Self:
        return cls(**unpack_arrays(members["coefficients.safetensors"]))

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32."""
        slope = self.slope.astype(np.float64)
        absent = np.where(block.present, 0, self.mean.astype(np.float64))
        return (block.x @ slope + (absent @ slope + self.intercept)).astype(np.float32)

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """Coefficients; on cells, what each feature adds to the score of those called the class.

        Both against the mean of the classes. What a feature adds is its coefficient times its value
        less the training mean, the SHAP value of a linear model.
        """
        slope = self.slope - self.slope.mean(axis=1, keepdims=True)
        sums, cells = np.zeros(slope.shape), np.zeros(slope.shape[1])
        for block in blocks:
            called = self.scores(block).argmax(axis=1)
            for code in np.unique(called):
                mine = called == code
                cells[code] += mine.sum()
                above = np.asarray(block.x[mine].sum(axis=0)).ravel() - mine.sum() * self.mean
                sums[:, code] += np.where(block.present, above, 0)
        if not cells.any():
            return Why("coefficient per log1p unit, against the mean of the classes", slope)
        return Why(
            "mean SHAP value over the cells called the class", slope * sums / np.maximum(cells, 1)
        )
