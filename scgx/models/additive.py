"""The sum of what its targets do alone: pairs that do not interact. Unseen targets have no answer.

Ahlmann-Eltze et al., Nature Methods 2025: what most models of double perturbations do not beat.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.effects import Effects, doses_differ, unknown
from scgx.learn.response_data import ResponseData
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class Model:
    """Predicts the sum over targets of the change that each makes alone."""

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
        """It needs every target alone, at the same dose."""
        singles = self.effects.singles
        return unknown(one.targets, singles) or doses_differ(one, singles)

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): the sum over the targets."""
        singles = self.effects.singles
        alone = [self.effects.of(singles[target], stratum) for target in one.targets]
        return np.stack([each for each in alone if each is not None]).sum(axis=0)
