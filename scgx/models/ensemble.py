"""Boosted trees and logistic regression together: they err in different cells.

Each member is fitted as it would be alone, and its scores are divided by its own temperature (least
-log p on validation rows), so that neither shouts the other down; then logarithms of probabilities are
averaged. Within a study the two are worth two to three hundredths of macro-F1 more than either. Into
another study trees alone go further: `linear=0`, and several `forests` for less noise. Of the copies
that `train --augment` makes each forest learns from its own share (docs/decisions/classifiers.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

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
AT_ONCE = 512
LEAST = 1e-6  # no member calls a class less likely than this


@dataclass(frozen=True)
class Config:
    """What the members weigh, and their most telling knobs; the others are as they are alone."""

    linear: float = knob(0.5, most=1)  # share of logistic regression in the answer; 0 leaves it out
    forests: int = knob(1, least=1)  # sets of trees that share the rest
    C: float = knob(0.1, least=1e-9)  # of logistic regression
    trees: int = knob(500, least=1)  # rounds at most
    depth: int = knob(4, least=1)  # of a tree
    lr: float = knob(0.1, least=1e-6, most=1)  # how much of each tree is taken
    patience: int = knob(20, least=1)  # rounds without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda


class Member(NamedTuple):
    """One of the models: what its parts are called in the artifact, and what it weighs."""

    name: str
    module: Any
    settings: Any
    share: float


class Model:
    """The members, with the temperature of each."""

    def __init__(self, config: Config, models: tuple[Any, ...], heat: np.ndarray) -> None:
        self.members = members_of(config)
        self.models = models
        self.heat = heat  # (members,) float64

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Fit the members in turn; data.val stops the trees and sets the temperatures."""
        models, heat = [], []
        rows = [data.val[i : i + AT_ONCE] for i in range(0, len(data.val), AT_ONCE)]
        for number, member in enumerate(members_of(config)):
            mine = data
            if member.name.startswith("xgboost"):
                mine = data.with_copies(range(number + 1, data.augment.copies + 1, config.forests))
            fit = member.module.Model.fit
            model = fit(mine, member.settings, seed=seed + number, report=report)
            made = [model.scores(data.block(part)) for part in rows]
            scores = np.concatenate([np.zeros((0, len(data.classes)), np.float32), *made])
            models.append(model)
            heat.append(temperature(scores, data.y(data.val)))
        return cls(config, tuple(models), np.array(heat))

    def save(self) -> Mapping[str, bytes]:
        saved = {"heat.safetensors": pack_arrays({"heat": self.heat})}
        for member, model in zip(self.members, self.models, strict=True):
            saved |= {f"{member.name}.{part}": value for part, value in model.save().items()}
        return saved

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        models = []
        for member in members_of(config):
            before = f"{member.name}."
            own = {
                part.removeprefix(before): value
                for part, value in members.items()
                if part.startswith(before)
            }
            models.append(member.module.Model.restore(member.settings, own))
        return cls(config, tuple(models), unpack_arrays(members["heat.safetensors"])["heat"])

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: weighted means of logarithms of probabilities."""
        total = np.zeros(1)
        for member, model, heat in zip(self.members, self.models, self.heat, strict=True):
            p = softmax(model.scores(block), float(heat))
            total = total + member.share * np.log(np.maximum(p, LEAST))
        return total.astype(np.float32)


def members_of(config: Config) -> list[Member]:
    """The forests, then logistic regression where it weighs anything; shares sum to one."""
    wanted = [(f"xgboost{i}", (1 - config.linear) / config.forests) for i in range(config.forests)]
    wanted = wanted if config.linear < 1 else []
    wanted = [*wanted, ("logistic", config.linear)] if config.linear else wanted
    given, made = asdict(config), []
    for name, share in wanted:
        module = registry.load("models", name.rstrip("0123456789"))
        known = set(module.Config.__dataclass_fields__) & given.keys()
        made.append(Member(name, module, module.Config(**{k: given[k] for k in known}), share))
    return made
