"""Boosted trees and a linear discriminant together: they err in different cells.

Each member is fitted as it would be alone, and its scores are divided by its own temperature (least
-log p on validation rows), so that neither shouts the other down; then logarithms of probabilities are
averaged. The discriminant finds rare classes and has the larger share; trees tell neighbours apart.
Into another study trees alone go further: `linear=0`, and several `forests` for less noise. Of the
copies that `train --augment` makes each forest learns from its share (docs/decisions/classifiers.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from scgx import registry
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.calibration import softmax, temperature
from scgx.learn.config import knob
from scgx.learn.labels import LabelledData
from scgx.learn.model import Why
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
AT_ONCE = 512
LEAST = 1e-6  # no member calls a class less likely than this


@dataclass(frozen=True)
class Config:
    """What the members weigh, and their most telling knobs; the others are as they are alone."""

    linear: float = knob(0.7, most=1)  # share of the discriminant in the answer; 0 leaves it out
    forests: int = knob(1, least=1)  # sets of trees that share the rest
    ridge: float = knob(0.3, least=1e-6)  # penalty of the discriminant
    balance: float = knob(0.3, least=0, most=1)  # of its probabilities: 0 as frequent, 1 all alike
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

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """SHAP values on cells, each member's by what a unit of its score is worth in the answer.

        Without cells weights of members are no common measure: of each, what a feature has of the
        positive weights of its class.
        """
        made: list[np.ndarray] = []
        cells = np.zeros(1)
        for block in blocks:
            means = [model.explain(iter([block])).weights for model in self.models]
            called = [np.bincount(m.scores(block).argmax(axis=1)) for m in self.models]
            wide = [np.pad(n, (0, means[0].shape[1] - len(n))) for n in called]
            sums = [mean * n for mean, n in zip(means, wide, strict=True)]
            made = [a + b for a, b in zip(made, sums, strict=True)] if made else sums
            cells = cells + np.stack(wide)
        if made:
            worth = [m.share / heat for m, heat in zip(self.members, self.heat, strict=True)]
            means = [a / n for a, n in zip(made, np.maximum(cells, 1), strict=True)]
            words = (
                "mean SHAP value over the cells called the class, members by share and temperature"
            )
            return Why(words, _sum(worth, means))
        weights = [np.maximum(model.explain(iter(())).weights, 0) for model in self.models]
        shares = [each / np.maximum(each.sum(axis=0), LEAST) for each in weights]
        worth = [member.share for member in self.members]
        return Why(
            "share of the positive weights of the class, over the members", _sum(worth, shares)
        )


def _sum(worth: list[float], each: list[np.ndarray]) -> np.ndarray:
    return np.tensordot(np.array(worth), np.stack(each), axes=1)


def members_of(config: Config) -> list[Member]:
    """The forests, then the discriminant where it weighs anything; shares sum to one."""
    wanted = [(f"xgboost{i}", (1 - config.linear) / config.forests) for i in range(config.forests)]
    wanted = wanted if config.linear < 1 else []
    wanted = [*wanted, ("discriminant", config.linear)] if config.linear else wanted
    given, made = asdict(config), []
    for name, share in wanted:
        module = registry.load("models", name.rstrip("0123456789"))
        known = set(module.Config.__dataclass_fields__) & given.keys()
        made.append(Member(name, module, module.Config(**{k: given[k] for k in known}), share))
    return made
