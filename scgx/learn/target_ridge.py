"""Changes of perturbations by ridge on their targets: what each target adds, from all conditions.

The means of all training conditions, the controls among them, are explained by a level of each stratum
(not penalised) and by the targets: a change of its own for each, and, where asked for, what targets
have in common (a mean change, so that an unseen target is not expected to do nothing) and what their
places among the genes tell (so that an unseen target resembles the genes it is expressed with). So a
double teaches about its targets as a single does, and the noise of the control mean, which the additive
model carries twice, is shared by all. Penalties are counted in cells, and chosen by leaving whole
conditions out, exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.response_data import Means

OWN = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
PLACED = (1.0, 30.0, 1000.0, 1e5)
JUDGES = 500
_FREE = 1e-9  # the penalty of a level of a stratum: none but for what keeps it solvable


@dataclass(frozen=True)
class Penalties:
    """In cells: a change that so many cells show is halved."""

    own: float
    common: float = _FREE
    placed: float = _FREE


@dataclass(frozen=True)
class Design:
    """How a perturbation becomes numbers: one row per condition and stratum.

    `places` are vectors of targets that are genes, float32 (k,); without them, and without `common`,
    a row has the doses of the targets alone.
    """

    targets: tuple[str, ...]
    strata: int
    common: bool = False
    places: Mapping[str, np.ndarray] | None = None
    width: int = 0  # k

    @property
    def number(self) -> dict[str, int]:
        """The column of each target among the targets."""
        return {target: i for i, target in enumerate(self.targets)}

    def rows(self, conditions: Sequence[Perturbation], strata: Sequence[int]) -> np.ndarray:
        """Float64 (n, columns): [number of targets], [their places], doses, doses within strata."""
        number, n_own = self.number, len(self.targets)
        several = self.strata if self.strata > 1 else 0
        head = int(self.common) + self.width
        rows = np.zeros((len(conditions), head + n_own * (1 + several)))
        for row, one, stratum in zip(rows, conditions, strata, strict=True):
            for target, dose in zip(one.targets, one.doses):
                if self.common:
                    row[0] += dose
                if self.places is not None and target in self.places:
                    row[head - self.width : head] += dose * self.places[target]
                if target not in number:
                    continue
                row[head + number[target]] = dose
                if several and stratum >= 0:
                    row[head + n_own * (1 + stratum) + number[target]] = dose
        return rows

    def penalties(self, chosen: Penalties) -> np.ndarray:
        """The penalty of every column, those of the strata's levels first."""
        several = self.strata if self.strata > 1 else 0
        parts = [
            np.full(self.strata, _FREE),
            np.full(int(self.common), chosen.common),
            np.full(self.width, chosen.placed),
            np.full(len(self.targets) * (1 + several), chosen.own),
        ]
        return np.concatenate(parts)


def solve(
    rows: np.ndarray, means: Means, design: Design, chosen: Penalties
) -> tuple[np.ndarray, np.ndarray]:
    """Levels (strata, genes), and what every column of the design does (columns, genes), float64."""
    whole, inverse = _inverse(rows, means, design, chosen)
    both = inverse @ ((whole * means.n[:, None]).T @ means.mean)
    return both[: design.strata], both[design.strata :]


def left_out(
    rows: np.ndarray, means: Means, design: Design, chosen: Penalties, *, codes: np.ndarray
) -> np.ndarray:
    """Errors of every mean when all rows of its code are left out: float64 (groups, genes)."""
    whole, inverse = _inverse(rows, means, design, chosen)
    weighted = whole * means.n[:, None]
    errors = means.mean - whole @ (inverse @ (weighted.T @ means.mean))
    for code in np.unique(codes):
        here = np.flatnonzero(codes == code)
        own = whole[here] @ inverse @ weighted[here].T
        errors[here] = np.linalg.solve(
            np.eye(len(here)) - own + 1e-9 * np.eye(len(here)), errors[here]
        )
    return errors


def choose(rows: np.ndarray, means: Means, design: Design) -> Penalties:
    """The penalties with which conditions are best told from all others, weighted by cells.

    That of the common change is the number of controls, which halves it: it is a difference from
    them, and left-out conditions, which are compared with the same controls, cannot judge it.
    """
    means = some_genes(means, most_responding(means))
    perturbed = means.condition > 0
    common = controls_of(means) if design.common else _FREE
    placed = PLACED if design.width else (_FREE,)
    best, least = Penalties(OWN[0]), np.inf
    for own, place in itertools.product(OWN, placed):
        tried = Penalties(own, common, place)
        errors = left_out(rows, means, design, tried, codes=means.condition)[perturbed]
        loss = float((means.n[perturbed, None] * errors**2).sum())
        if loss < least * (1 - 1e-9):
            best, least = tried, loss
    return best


def controls_of(means: Means) -> float:
    """Control cells of a stratum, on average, at least one."""
    own = means.condition == 0
    return max(1.0, float(means.n[own].mean())) if own.any() else 1.0


def most_responding(means: Means) -> np.ndarray:
    """The genes whose means vary most, int64: what is chosen is chosen by at most so many."""
    return np.sort(np.argsort(-means.mean.var(axis=0), kind="stable")[:JUDGES])


def some_genes(means: Means, kept: np.ndarray) -> Means:
    """The same of some genes."""
    return means._replace(mean=means.mean[:, kept], variance=means.variance[:, kept])


def _inverse(
    rows: np.ndarray, means: Means, design: Design, chosen: Penalties
) -> tuple[np.ndarray, np.ndarray]:
    """The design with a level per stratum before it, and the inverse of its penalised square."""
    whole = np.hstack([np.eye(design.strata)[means.stratum], rows])
    square = (whole * means.n[:, None]).T @ whole
    return whole, np.linalg.inv(square + np.diag(design.penalties(chosen)))
