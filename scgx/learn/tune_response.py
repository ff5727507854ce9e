"""How well a model of responses foretells the perturbations that validate.

The true change is that of validation cells against validation controls of their stratum, where there
are any; a model starts from training controls, so that no noise stands on both sides. A perturbation
that the model refuses counts 0: who answers fewer is not better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.learn import apply, fit_response, response
from scgx.learn.artifact import Artifact, Screened
from scgx.learn.model import Responds, Shifts
from scgx.learn.response_data import ResponseData
from scgx.learn.strata import Strata
from scgx.learn.train import restore
from scgx.metrics._response import correlation

CONTROLS = 64  # of a stratum: what a perturbation does to them is averaged


class _Case(NamedTuple):
    """A perturbation that validates: its change per stratum (name), and what each weighs."""

    one: Perturbation
    strata: list[tuple[int, float]]
    change: np.ndarray  # (genes,), over strata


@dataclass(frozen=True)
class Screening:
    """The validation perturbations of a file; what they do is looked up once."""

    cells: Cells
    control: str | None
    seed: int
    _known: dict[str, tuple[ResponseData, list[_Case]]] = field(default_factory=dict)

    def __call__(self, found: Artifact) -> float:
        """Mean r of true and foretold change over genes that are no target."""
        told = found.header.response
        model = restore(found)
        if told is None or not isinstance(model, Responds | Shifts):
            raise DataError("this model answers no perturbation", file=found.name)
        data, cases = self._cases(told)
        alignment = apply.align(self.cells, found.header, 0.0)
        strata = Strata(tuple(told.covariates), tuple(tuple(each) for each in told.strata))
        groups = strata.codes(self.cells.obs)
        symbols = np.array(data.symbols, dtype=object)
        reached = []
        for case in cases:
            if model.refuses(case.one) is not None:
                reached.append(0.0)
                continue
            guess = np.zeros(len(symbols))
            for stratum, weight in case.strata:
                change = self._change(model, found, (alignment, groups), data, case.one, stratum)
                guess += weight * change
            kept = ~np.isin(symbols, case.one.targets)
            reached.append(correlation(case.change[kept], guess[kept])[0])
        return float(np.nanmean(reached)) if np.isfinite(reached).any() else float("nan")

    def _change(
        self,
        model: Responds | Shifts,
        found: Artifact,
        seen: tuple[apply.Alignment, np.ndarray],
        data: ResponseData,
        one: Perturbation,
        stratum: int,
    ) -> np.ndarray:
        """What the model says that a perturbation changes in a stratum, float64 (genes,)."""
        if isinstance(model, Shifts):
            return model.change(one, stratum).astype(np.float64)
        own = data.controls(stratum)
        rows = own[np.linspace(0, len(own) - 1, min(CONTROLS, len(own))).astype(np.int64)]
        before = np.asarray(data.x(rows).mean(axis=0), np.float64).ravel()
        after = [
            block.x
            for block in response.answers(model, self.cells, seen, [(one, rows)], found.name)
        ]
        return np.concatenate(after).mean(axis=0, dtype=np.float64) - before

    def _cases(self, told: Screened) -> tuple[ResponseData, list[_Case]]:
        key = repr((told.column, told.covariates))
        if key not in self._known:
            asked = fit_response.ResponseRoles(told.column, self.control, tuple(told.covariates))
            data, _parts = fit_response.gather(self.cells, asked, seed=self.seed)
            cases = _cases_of(data)
            if not cases:
                raise DataError(
                    "no perturbation validates, and a search of responses needs some",
                    fix=f"scgx split --by {told.column}",
                    file=self.cells.name,
                )
            self._known[key] = (data, cases)
        return self._known[key]


def _cases_of(data: ResponseData) -> list[_Case]:
    spare = data.means(data.train[data.told.screen.control[data.train]])
    base = {int(stratum): spare.mean[i] for i, stratum in enumerate(spare.stratum)}
    means = data.means(data.val)
    place = {(int(c), int(s)): i for i, (c, s) in enumerate(zip(means.condition, means.stratum))}
    base |= {stratum: means.mean[i] for (code, stratum), i in place.items() if code == 0}
    found: dict[int, list[tuple[int, int]]] = {}
    for (code, stratum), i in place.items():
        if code and stratum in base:
            found.setdefault(code, []).append((stratum, i))
    return [
        _case(data.told.conditions[c], here, means.mean, means.n, base) for c, here in found.items()
    ]


def _case(
    one: Perturbation,
    here: list[tuple[int, int]],
    mean: np.ndarray,
    n: np.ndarray,
    base: Mapping[int, np.ndarray],
) -> _Case:
    total = float(sum(n[i] for _stratum, i in here))
    strata = [(stratum, float(n[i]) / total) for stratum, i in here]
    changes = (w * (mean[i] - base[s]) for (s, w), (_s, i) in zip(strata, here))
    return _Case(one, strata, np.sum(list(changes), axis=0))
