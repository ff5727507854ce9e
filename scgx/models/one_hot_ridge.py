"""Ridge on one-hot targets: what each target adds, estimated from all training conditions at once.

Better than adding up single perturbations where doubles were measured too: both teach about their
targets, and the noise of the control mean is not carried by each. scgx.learn.target_ridge says how.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.response_data import ResponseData
from scgx.learn.target_ridge import Design, Penalties, choose, solve
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()


@dataclass(frozen=True)
class Config:
    """How much is believed."""

    alpha: float = 0.0  # penalty in cells: an effect seen in so many is halved; 0 chooses it


class Model:
    """Changes of targets that add up."""

    def __init__(self, design: Design, changes: np.ndarray) -> None:
        """`changes` float32 (columns of the design, genes)."""
        self.design, self.changes = design, changes

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """Least squares on the means of training rows, each weighted by its cells."""
        means = data.trained
        trained = [data.told.conditions[code] for code in means.condition]
        targets = tuple(sorted({target for one in trained for target in one.targets}))
        design = Design(targets, len(data.told.strata.levels))
        rows = design.rows(trained, means.stratum.tolist())
        penalties = Penalties(config.alpha) if config.alpha else choose(rows, means, design)
        report.say(f"one-hot-ridge: {len(targets):,} targets, penalty {penalties.own:g}")
        return cls(design, solve(rows, means, design, penalties)[1].astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        told = json.dumps({"targets": self.design.targets, "strata": self.design.strata})
        packed = pack_arrays({"changes": self.changes})
        return {"targets.json": told.encode(), "ridge.safetensors": packed}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        told = json.loads(members["targets.json"])
        changes = unpack_arrays(members["ridge.safetensors"])["changes"]
        return cls(Design(tuple(told["targets"]), int(told["strata"])), changes)

    def refuses(self, one: Perturbation) -> str | None:
        """It needs every target to have been perturbed in training, alone or with others."""
        missing = [target for target in one.targets if target not in self.design.number]
        return f"{' and '.join(missing)} never perturbed in training" if missing else None

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,): the changes of its targets, times their doses."""
        row = self.design.rows([one], [stratum])[0]
        return (row @ self.changes.astype(np.float64)).astype(np.float32)
