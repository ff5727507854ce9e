"""Boosted trees and logistic regression together: they err in different cells.

Each member is fitted as it would be alone, and its scores are divided by its own temperature (least
-log p on validation rows), so that neither shouts the other down; then logarithms of probabilities are
averaged. Within a study the two are worth two to three hundredths of macro-F1 more than either. Into
another study trees alone go further (docs/decisions/classifiers.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from scgx import registry
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.calibration import softmax, temperature
from scgx.learn.config import knob
from scgx.learn.labels import LabelledData
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
MEMBERS = ("xgboost", "logistic")
AT_ONCE = 512
LEAST = 1e-6  # no member calls a class less likely than this


@dataclass(frozen=True)
class Config:
    """What the members weigh, and their most telling knobs; the others are as they are alone."""

    linear: float = knob(0.5, most=1)  # share of logistic regression in the answer
    C: float = knob(0.1, least=1e-9)  # of logistic regression
    trees: int = knob(500, least=1)  # rounds at most
    depth: int = knob(4, least=1)  # of a tree
    lr: float = knob(0.1, least=1e-6, most=1)  # how much of each tree is taken
    patience: int = knob(20, least=1)  # rounds without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda


class Model:
    """The members, with the temperature of each."""

    def __init__(self, config: Config, members: tuple[Any, ...], heat: np.ndarray) -> None:
        self.config, self.members = config, members
        self.heat = heat  # (members,) float64

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Fit the members in turn; data.val stops the trees and sets the temperatures."""
        members = tuple(
            module.Model.fit(data, settings, seed=seed, report=report)
            for module, settings in _kinds(config)
        )
        rows = [data.val[i : i + AT_ONCE] for i in range(0, len(data.val), AT_ONCE)]
        heat = []
        for member in members:
            made = [member.scores(data.block(part)) for part in rows]
            scores = np.concatenate([np.zeros((0, len(data.classes)), np.float32), *made])
            heat.append(temperature(scores, data.y(data.val)))
        return cls(config, members, np.array(heat))

    def save(self) -> Mapping[str, bytes]:
        saved = {"heat.safetensors": pack_arrays({"heat": self.heat})}
        for name, member in zip(MEMBERS, self.members, strict=True):
            saved |= {f"{name}.{part}": value for part, value in member.save().items()}
        return saved

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        made = []
        for name, (module, settings) in zip(MEMBERS, _kinds(config), strict=True):
            own = {
                part.removeprefix(f"{name}."): value
                for part, value in members.items()
                if part.startswith(f"{name}.")
            }
            made.append(module.Model.restore(settings, own))
        return cls(config, tuple(made), unpack_arrays(members["heat.safetensors"])["heat"])

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: weighted means of logarithms of probabilities."""
        share = (1 - self.config.linear, self.config.linear)
        total = np.zeros(1)
        for weight, heat, member in zip(share, self.heat, self.members, strict=True):
            p = softmax(member.scores(block), float(heat))
            total = total + weight * np.log(np.maximum(p, LEAST))
        return total.astype(np.float32)


def _kinds(config: Config) -> tuple[tuple[Any, Any], ...]:
    """Module and settings of each member."""
    given = asdict(config)
    modules = [registry.load("models", name) for name in MEMBERS]
    fields = [set(module.Config.__dataclass_fields__) for module in modules]
    return tuple(
        (module, module.Config(**{key: given[key] for key in known & given.keys()}))
        for module, known in zip(modules, fields, strict=True)
    )
