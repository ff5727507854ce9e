"""What a model is, and what it can do. Nobody inherits from anything.

A file in `models/` has `Config` (a frozen dataclass: every knob with its default), `FROM` and `TO` (the
modalities it takes and gives) and a class `Model`. Which of the capabilities below the class has
decides which commands accept it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from scgx.learn.block import CellBlock

if TYPE_CHECKING:
    from scgx.learn.data import TrainingData
    from scgx.progress import Report


class Model(Protocol):
    """The least that every model has."""

    Config: ClassVar[type]

    @classmethod
    def fit(cls, data: TrainingData, config: object, *, seed: int, report: Report) -> Self:
        """Learn from data.train; data.val may stop and tune."""
        ...

    def save(self) -> Mapping[str, bytes]:
        """Members of the artifact: safetensors and JSON."""
        ...

    @classmethod
    def restore(cls, config: object, members: Mapping[str, bytes]) -> Self:
        """The same model, bit for bit, from its members."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """One modality from another."""

    def predict(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, outputs) in the output units."""
        ...
