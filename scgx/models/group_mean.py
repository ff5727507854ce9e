"""The mean profile of the training cells that share the cell's covariates (age group, sex, type).

The fair baseline for a model that is told covariates, and with `--covariate cell_type` an oracle:
what knowing the cell type alone would give. A combination of levels that the training rows lack, or
a missing value, is answered with the mean of all training rows, and that is said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import Frame
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.covariates import require_levels
from scgx.learn.data import TrainingData
from scgx.learn.profile import mean_profile
from scgx.progress import Report, warn

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}


@dataclass(frozen=True)
class Config:
    """Which groups."""

    covariates: tuple[str, ...] = ()  # columns of obs; a group is one combination of their levels


class Model:
    """Predicts the training mean of the cell's group."""

    def __init__(
        self, covariates: tuple[str, ...], groups: list[tuple[str, ...]], means: np.ndarray
    ) -> None:
        self.covariates = covariates
        self.groups = groups
        self.means = means  # (len(groups) + 1, n_out); the last row is the mean of all
        self._row = {group: row for row, group in enumerate(groups)}
        self._said: set[tuple[str, ...]] = set()

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Mean of each output per combination of levels over the training rows."""
        if not config.covariates:
            raise UsageError(
                "group-mean needs to know the groups", fix="--covariate cell_type, any obs column"
            )
        levels = _levels(data.obs.take(data.train), config.covariates)
        for column in config.covariates:
            require_levels(data.obs, column, data.train)
        groups = sorted({level for level in levels if level is not None})
        row = {group: number for number, group in enumerate(groups)}
        codes = np.array([-1 if level is None else row[level] for level in levels])
        means = [mean_profile(data, data.train[codes == number]) for number in range(len(groups))]
        return cls(config.covariates, groups, np.stack([*means, mean_profile(data, data.train)]))

    def save(self) -> Mapping[str, bytes]:
        words = {"covariates": self.covariates, "groups": self.groups}
        return {
            "groups.json": json.dumps(words).encode(),
            "means.safetensors": pack_arrays({"means": self.means}),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        words = json.loads(members["groups.json"])
        means = unpack_arrays(members["means.safetensors"])["means"]
        return cls(tuple(words["covariates"]), [tuple(group) for group in words["groups"]], means)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32; a group without training cells gets the mean of all."""
        levels = _levels(block.obs, self.covariates)
        for unseen in sorted({x for x in levels if x is not None} - self._row.keys() - self._said):
            self._said.add(unseen)
            warn(f"no training cell is {' and '.join(unseen)}: the mean of all cells stands in")
        return self.means[[self._row.get(level, -1) if level else -1 for level in levels]]


def _levels(obs: Frame, covariates: tuple[str, ...]) -> list[tuple[str, ...] | None]:
    """The combination of levels of each row; None where one of them is missing."""
    for name in covariates:
        if name not in obs:
            raise DataError(
                f"obs has no column {name!r}, which group-mean needs",
                fix=f"obs has {', '.join(sorted(obs.columns)) or 'no columns'}",
            )
    columns = [obs.strings(name) for name in covariates]
    rows = zip(*columns, strict=True)
    return [None if any(v is None for v in row) else tuple(map(str, row)) for row in rows]
