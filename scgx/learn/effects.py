"""Changes of the mean profile: of each perturbation, within each stratum, against its own controls.

What all simple models of responses are made of. A change is kept per stratum, since CRISPRa in one
line raises what CRISPRi in another lowers; where a stratum has not seen a perturbation, the mean over
the strata that have stands in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.errors import DataError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.response_data import ResponseData

MEMBERS = ("effects.safetensors", "conditions.json")


@dataclass(frozen=True)
class Effects:
    """Changes float32 (groups, genes) of perturbations in strata, and the cells of each group.

    `condition` and `stratum` int64 (groups,) say whose they are; `control` float32 (strata, genes) is
    the mean of the controls.
    """

    conditions: tuple[Perturbation, ...]
    condition: np.ndarray
    stratum: np.ndarray
    n: np.ndarray
    change: np.ndarray
    control: np.ndarray

    @classmethod
    def fit(cls, data: ResponseData) -> Self:
        """Means of training rows less the controls of the stratum; DataError where none compare."""
        means = data.trained
        control = np.zeros((len(data.told.strata.levels), means.mean.shape[1]))
        own = means.condition == 0
        control[means.stratum[own]] = means.mean[own]
        has = np.isin(means.stratum, means.stratum[own])
        kept = ~own & has
        if not kept.any():
            raise DataError(
                "no stratum has perturbed cells and controls to train on",
                fix="scgx split --by perturbation spreads the controls; --covariate sets the strata",
            )
        return cls(
            data.told.conditions,
            means.condition[kept].astype(np.int64),
            means.stratum[kept].astype(np.int64),
            means.n[kept].astype(np.int64),
            (means.mean[kept] - control[means.stratum[kept]]).astype(np.float32),
            control.astype(np.float32),
        )

    @property
    def trained(self) -> list[Perturbation]:
        """Perturbations that training rows have."""
        return [self.conditions[code] for code in np.unique(self.condition)]

    @property
    def singles(self) -> dict[str, Perturbation]:
        """Single perturbations that training rows have, by target."""
        return {one.targets[0]: one for one in self.trained if len(one.targets) == 1}

    def mean(self, stratum: int, *, by_cell: bool = True) -> np.ndarray:
        """The mean change over all perturbations of a stratum, or of all where it has none."""
        here = self.stratum == stratum
        here = here if here.any() else np.ones(len(self.n), dtype=bool)
        weight = self.n[here] if by_cell else np.ones(int(here.sum()))
        return np.average(self.change[here], axis=0, weights=weight).astype(np.float32)

    def of(self, one: Perturbation, stratum: int) -> np.ndarray | None:
        """The change of a perturbation that was seen, float32 (genes,); None where it never was."""
        where = np.array([self.conditions[code] == one for code in self.condition])
        if not where.any():
            return None
        here = where & (self.stratum == stratum)
        chosen = here if here.any() else where
        return np.average(self.change[chosen], axis=0, weights=self.n[chosen]).astype(np.float32)

    def save(self) -> dict[str, bytes]:
        """Members of an artifact."""
        arrays = {
            name: getattr(self, name) for name in ("condition", "stratum", "n", "change", "control")
        }
        told = [[list(one.targets), list(one.doses)] for one in self.conditions]
        return {MEMBERS[0]: pack_arrays(arrays), MEMBERS[1]: json.dumps(told).encode()}

    @classmethod
    def restore(cls, members: Mapping[str, bytes]) -> Self:
        """The same from members."""
        arrays = unpack_arrays(members[MEMBERS[0]])
        told = json.loads(members[MEMBERS[1]])
        conditions = tuple(Perturbation(tuple(t), tuple(map(float, d))) for t, d in told)
        if arrays["change"].shape[0] != len(arrays["condition"]):
            raise ValueError("changes and conditions differ in number")
        if arrays["condition"].max(initial=0) >= len(conditions):
            raise ValueError("a change belongs to no condition")
        return cls(conditions, **arrays)


def doses_differ(one: Perturbation, seen: Mapping[str, Perturbation]) -> str | None:
    """Why a dose cannot be answered by what was seen of a target, or None."""
    for target, dose in zip(one.targets, one.doses):
        if target in seen and seen[target].doses[0] != dose:
            return f"{target} was seen at dose {seen[target].doses[0]:g}, not {dose:g}"
    return None


def unknown(targets: Sequence[str], seen: Mapping[str, object]) -> str | None:
    """Which targets were never perturbed alone in training, in words; None where all were."""
    missing = [target for target in targets if target not in seen]
    if not missing:
        return None
    return f"{' and '.join(missing)} never perturbed alone in training"
