"""The control itself: what a perturbation does where it does nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

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
    """Nothing to choose."""


class Model:
    """Predicts that nothing happens."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """Means over the training rows."""
        return cls(Effects.fit(data))

    def save(self) -> Mapping[str, bytes]:
        return self.effects.save()

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(Effects.restore(members))

    def refuses(self, one: Perturbation) -> str | None:
        """It answers anything."""
        return None

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): nothing."""
        return np.zeros(self.effects.control.shape[1], dtype=np.float32)
