"""The mean change over all perturbations of training: what any model has to beat.

Cells that were perturbed at all have much in common (stress, selection, the vector), so this predicts
more than it should. Ahlmann-Eltze et al., Nature Methods 2025; Vinas Torne et al. (Systema), 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.effects import Effects
from scgx.learn.response_data import ResponseData
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()


@dataclass(frozen=True)
class Config:
    """What is averaged."""

    weights: Literal["cells", "conditions"] = "cells"  # what counts alike


class Model:
    """Predicts the mean change."""

    def __init__(self, effects: Effects, weights: str) -> None:
        self.effects = effects
        self.weights = weights

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """Means over the training rows."""
        return cls(Effects.fit(data), config.weights)

    def save(self) -> Mapping[str, bytes]:
        return self.effects.save()

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(Effects.restore(members), config.weights)

    def refuses(self, one: Perturbation) -> str | None:
        """It answers anything."""
        return None

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): the mean change of the stratum."""
        return self.effects.mean(stratum, by_cell=self.weights == "cells")
