"""Ridge on one-hot targets: what each target adds, estimated from all training conditions at once.

The means of all conditions, the controls among them, are explained by a level of each stratum, which is
not penalised, and a change for each target (and, with several strata, one for each target within each).
So a double teaches about its targets as a single does, and the noise of the control mean, which the
additive model carries twice, is shared by all. The penalty is chosen by leaving conditions out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.response_data import Means, ResponseData
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


@dataclass(frozen=True)
class Config:
    """How much is believed."""

    alpha: float = 0.0  # penalty in cells: an effect seen in so many is halved; 0 chooses it


class Model:
    """Changes of targets that add up."""

    def __init__(self, targets: list[str], strata: int, changes: np.ndarray) -> None:
        """`changes` float32 (targets x (1 + strata), genes): common ones first, then by stratum."""
        self.place = {target: i for i, target in enumerate(targets)}
        self.strata = strata
        self.changes = changes

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """Least squares on the means of training rows, each weighted by its cells."""
        means = data.means(data.train)
        trained = [data.told.conditions[code] for code in means.condition]
        targets = sorted({target for one in trained for target in one.targets})
        strata = len(data.told.strata.levels)
        place = {target: i for i, target in enumerate(targets)}
        x = np.stack([design(place, strata, one, int(s)) for one, s in zip(trained, means.stratum)])
        alpha = config.alpha or choose_penalty(x, means, strata)
        report.say(f"one-hot-ridge: {len(targets):,} targets, penalty {alpha:g}")
        return cls(targets, strata, solve(x, means, strata, alpha)[strata:].astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        told = json.dumps({"targets": list(self.place), "strata": self.strata})
        return {
            "targets.json": told.encode(),
            "ridge.safetensors": pack_arrays({"changes": self.changes}),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        told = json.loads(members["targets.json"])
        changes = unpack_arrays(members["ridge.safetensors"])["changes"]
        return cls(told["targets"], int(told["strata"]), changes)

    def refuses(self, one: Perturbation) -> str | None:
        """It needs every target to have been perturbed in training, alone or with others."""
        missing = [target for target in one.targets if target not in self.place]
        return f"{' and '.join(missing)} never perturbed in training" if missing else None

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): the changes of its targets, times their doses."""
        row = design(self.place, self.strata, one, stratum)
        return (row.astype(np.float32) @ self.changes).astype(np.float32)


def design(place: Mapping[str, int], strata: int, one: Perturbation, stratum: int) -> np.ndarray:
    """Doses of targets, float64 (targets x (1 + strata),); by stratum only where there are several."""
    width = len(place)
    row = np.zeros(width * (1 + (strata if strata > 1 else 0)))
    for target, dose in zip(one.targets, one.doses):
        row[place[target]] = dose
        if strata > 1 and stratum >= 0:
            row[width * (1 + stratum) + place[target]] = dose
    return row


def solve(x: np.ndarray, means: Means, strata: int, alpha: float) -> np.ndarray:
    """Levels of the strata, then changes: float64 (strata + columns of x, genes)."""
    whole, penalty = _whole(x, means, strata, alpha)
    weighted = whole * means.n[:, None]
    return np.linalg.solve(weighted.T @ whole + penalty, weighted.T @ means.mean)


def choose_penalty(x: np.ndarray, means: Means, strata: int) -> float:
    """The penalty with which a condition is best told from all others, exactly as if left out."""
    errors = []
    perturbed = means.condition > 0
    for alpha in PENALTIES:
        whole, penalty = _whole(x, means, strata, alpha)
        weighted = whole * means.n[:, None]
        inverse = np.linalg.inv(weighted.T @ whole + penalty)
        lever = np.einsum("ij,jk,ik->i", whole, inverse, weighted)
        fitted = whole @ (inverse @ (weighted.T @ means.mean))
        left_out = (means.mean - fitted) / np.maximum(1 - lever, 1e-9)[:, None]
        errors.append(float((left_out[perturbed] ** 2).sum()))
    return PENALTIES[int(np.argmin(errors))]


def _whole(x: np.ndarray, means: Means, strata: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The design with a level per stratum before it, and its penalty; a trace keeps it solvable."""
    levels = np.eye(strata)[means.stratum]
    penalty = np.full(strata + x.shape[1], alpha)
    penalty[:strata] = 1e-9
    return np.hstack([levels, x]), np.diag(penalty)
