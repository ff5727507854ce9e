"""What a guess of a response has to beat: models of means, fitted on training rows alone.

Names and definitions are those of the shipped models of the same names. A baseline that has no
answer (a target that was never perturbed alone) counts as the mean change, and says of how many
perturbations that is true.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.tasks._responses import Measured
from scgx.tasks._screened import Array, Ground

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # in cells
MOST = 3_000  # columns: with more, the changes of targets are the same in all strata
MEAN, EQUAL = "perturbed-mean", "perturbed-centroids"


@dataclass(frozen=True, eq=False)
class Answer:
    """Changes float32 (groups, genes), and which of them are its own, bool (groups,)."""

    name: str
    change: Array
    own: Array

    def coverage(self, weight: Array, units: int) -> float:
        """The share of perturbations, `weight` (groups,) of each adding up to one."""
        return float((weight * self.own).sum() / units)


@dataclass(frozen=True, eq=False)
class _Trained:
    """Changes of training perturbations against training controls of their stratum."""

    rows: dict[Perturbation, Array]  # of change
    stratum: Array
    cells: Array
    change: Array

    def mean(self, stratum: int, *, by_cell: bool) -> Array:
        """Over all perturbations of a stratum, or of all strata where it has none."""
        here = self.stratum == stratum
        here = here if here.any() else np.ones(len(self.cells), dtype=bool)
        weight = self.cells[here] if by_cell else np.ones(int(here.sum()))
        return np.average(self.change[here], axis=0, weights=weight).astype(np.float32)

    def seen(self, one: Perturbation, stratum: int) -> Array | None:
        """The change of a perturbation, in its stratum, else in the others; None if it is new."""
        where = self.rows.get(one)
        if where is None:
            return None
        here = where[self.stratum[where] == stratum]
        chosen = here if len(here) else where
        return np.average(self.change[chosen], axis=0, weights=self.cells[chosen])


def baselines(ground: Ground, measured: Measured) -> list[Answer]:
    """No change, both mean changes, matching mean, additive, ridge on targets; the mean is second."""
    has = np.asarray(measured.train_control.any(axis=1))[measured.stratum]
    code, stratum, cells = measured.code[has], measured.stratum[has], measured.cells[has]
    change = measured.trained[has] - measured.train_control[stratum]
    rows = {ground.screen.conditions[one]: np.flatnonzero(code == one) for one in np.unique(code)}
    trained = _Trained(rows, stratum, cells, change)
    shape = measured.test.shape
    whole = np.ones(shape[0], dtype=bool)
    nothing = Answer("no-change", np.zeros(shape, np.float32), whole)
    if not len(rows):
        return [nothing]
    known, place = np.unique(ground.groups.stratum, return_inverse=True)
    mean, equal = (
        Answer(name, np.stack([trained.mean(int(s), by_cell=by) for s in known])[place], whole)
        for name, by in ((MEAN, True), (EQUAL, False))
    )
    ridge = _ridge(ground, measured)
    rules: dict[str, Callable[[Perturbation, int], Array | None]] = {
        "matching-mean": lambda one, s: _matching(trained, one, s),
        "additive": lambda one, s: _additive(trained, one, s),
        "one-hot-ridge": ridge,
    }
    return [nothing, mean, equal, *(_answered(n, rule, ground, mean) for n, rule in rules.items())]


def mean_change(answers: list[Answer], shape: tuple[int, ...]) -> Array:
    """The mean of training perturbations, each counting alike, (groups, genes)."""
    found = [answer.change for answer in answers if answer.name.startswith(EQUAL)]
    return found[0] if found else np.zeros(shape, np.float32)


def _answered(
    name: str, rule: Callable[[Perturbation, int], Array | None], ground: Ground, mean: Answer
) -> Answer:
    change, own = mean.change.copy(), np.zeros(len(mean.own), dtype=bool)
    for k, (unit, stratum) in enumerate(zip(ground.groups.unit, ground.groups.stratum)):
        found = rule(ground.units[unit], int(stratum))
        if found is not None:
            change[k], own[k] = found, True
    return Answer(name, change, own)


def _alone(one: Perturbation) -> list[Perturbation]:
    return [Perturbation((t,), (d,)) for t, d in zip(one.targets, one.doses)]


def _matching(trained: _Trained, one: Perturbation, stratum: int) -> Array | None:
    """The mean over targets of what each does alone, the mean change for those never seen."""
    parts = [trained.seen(each, stratum) for each in _alone(one)]
    if all(part is None for part in parts):
        return None
    mean = trained.mean(stratum, by_cell=True)
    return np.mean([mean if part is None else part for part in parts], axis=0)


def _additive(trained: _Trained, one: Perturbation, stratum: int) -> Array | None:
    parts = [trained.seen(each, stratum) for each in _alone(one)]
    known = [part for part in parts if part is not None]
    return np.sum(known, axis=0) if len(known) == len(parts) else None


def _ridge(ground: Ground, measured: Measured) -> Callable[[Perturbation, int], Array | None]:
    """Means of all training conditions and controls, by a level per stratum and targets' changes."""
    strata = len(ground.strata.names)
    controls = np.flatnonzero(measured.train_control.any(axis=1))
    train = ground.screen.control[ground.train]
    n = np.bincount(ground.strata.codes[ground.train[train]], minlength=strata)
    of = [ground.screen.conditions[code] for code in measured.code]
    targets = sorted({target for one in of for target in one.targets})
    place = {target: i for i, target in enumerate(targets)}
    rows = [(Perturbation(), int(s)) for s in controls]
    rows += list(zip(of, measured.stratum.tolist(), strict=True))
    x = np.stack([_design(place, strata, one, s) for one, s in rows])
    y = np.vstack([measured.train_control[controls], measured.trained]).astype(np.float64)
    weight = np.concatenate([n[controls], measured.cells]).astype(np.float64)
    levels = np.eye(strata)[[s for _, s in rows]]
    whole = np.hstack([levels, x])
    codes = np.concatenate([np.zeros(len(controls), dtype=np.int64), measured.code])
    alpha = min(PENALTIES, key=lambda each: _left_out(whole, y, weight, strata, each, codes))
    found = np.linalg.solve(_normal(whole, weight, strata, alpha), (whole * weight[:, None]).T @ y)
    changes = found[strata:]

    def change(one: Perturbation, stratum: int) -> Array | None:
        if any(target not in place for target in one.targets):
            return None
        return _design(place, strata, one, stratum) @ changes

    return change


def _design(place: dict[str, int], strata: int, one: Perturbation, stratum: int) -> Array:
    """Doses of targets: common to all strata, and where there are several once more for each."""
    width = len(place)
    apart = strata > 1 and strata * width <= MOST
    row = np.zeros(width * (1 + strata if apart else 1))
    for target, dose in zip(one.targets, one.doses):
        row[place[target]] = dose
        if apart:
            row[width * (1 + stratum) + place[target]] = dose
    return row


def _normal(whole: Array, weight: Array, strata: int, alpha: float) -> Array:
    penalty = np.full(whole.shape[1], alpha)
    penalty[:strata] = 1e-9
    return (whole * weight[:, None]).T @ whole + np.diag(penalty)


def _left_out(
    whole: Array, y: Array, weight: Array, strata: int, alpha: float, codes: Array
) -> float:
    """The squared error of each perturbation, in all its strata, when it is left out: exactly.

    `codes` (rows,) are those of perturbations, 0 controls, which are not judged.
    """
    inverse = np.linalg.inv(_normal(whole, weight, strata, alpha))
    weighted = whole * weight[:, None]
    gap = y - whole @ (inverse @ (weighted.T @ y))
    loss = 0.0
    for code in np.unique(codes[codes > 0]):
        here = np.flatnonzero(codes == code)
        own = np.eye(len(here)) - whole[here] @ inverse @ weighted[here].T
        found = np.linalg.lstsq(own, gap[here], rcond=1e-9)[0]
        loss += float((weight[here, None] * found**2).sum())
    return loss
