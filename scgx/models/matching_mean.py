"""The mean of what its targets do alone; for a target never seen, the mean change of all.

The matching mean of Systema (Vinas Torne et al., 2025).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.effects import Effects, doses_differ
from scgx.learn.response_data import ResponseData
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class Model:
    """Predicts the mean over targets of the change that each makes alone."""

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
        """It answers any target, at the doses that were seen."""
        return doses_differ(one, self.effects.singles)

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): the mean over the targets."""
        singles = self.effects.singles
        parts = []
        for target in one.targets:
            alone = self.effects.of(singles[target], stratum) if target in singles else None
            parts.append(self.effects.mean(stratum) if alone is None else alone)
        return np.stack(parts).mean(axis=0, dtype=np.float32)
