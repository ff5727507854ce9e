"""What `perturb` learns from: changes of the mean, condition by condition, and controls to see them in.

A pair of a perturbed cell and a random control says almost nothing: the two differ in everything. The
mean over the cells of a condition says what the perturbation did; so an item is a condition within a
stratum, with some control cells, and the answer is the change that the mean over those cells should
show. Which controls are drawn differs from epoch to epoch for training and never for validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.learn.response_data import Means, ResponseData
from scgx.learn.target_ridge import (
    Design,
    Penalties,
    choose,
    controls_of,
    left_out,
    most_responding,
    solve,
    some_genes,
)

TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
OWN, PLACED = 10.0, 1e5  # penalties with which shares are compared, before they are chosen


class Words(NamedTuple):
    """Targets of some perturbations as numbers, padded to the longest: (n, targets).

    `gene` is the row of a target that is a gene, else -1; `target` its number among the targets of
    training from 1, 0 for none; `dose` float32; `there` which entries are targets at all.
    """

    gene: np.ndarray
    target: np.ndarray
    dose: np.ndarray
    there: np.ndarray


@dataclass(frozen=True)
class Followers:
    """What goes with a gene among cells of one condition, as a guess of what follows from it.

    `places` float32 (genes, k) are factors of the covariance within conditions, by the row of a gene;
    `own` is how far a target itself moves, and `trust`, 0 to 1, what share of the guess is believed.
    """

    places: np.ndarray
    row: Mapping[str, int]
    own: float = 0.0
    trust: float = 0.0

    def change(self, one: Perturbation) -> np.ndarray:
        """Float64 (genes,): slopes of all genes on the targets, times how far those move."""
        total = np.zeros(len(self.places))
        for target, dose in zip(one.targets, one.doses):
            if self.trust and self.places.shape[1] and target in self.row:
                place = self.places[self.row[target]].astype(np.float64)
                total += dose * (self.places @ place) / max(float(place @ place), 1e-9)
        return self.trust * self.own * total


@dataclass(frozen=True)
class Base:
    """The closed form that the network adds to: what goes with targets, a ridge on them; or nothing."""

    design: Design
    changes: np.ndarray  # float32 (columns, genes)
    followers: Followers

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,)."""
        row = self.design.rows([one], [stratum])[0]
        ridge = row @ self.changes.astype(np.float64)
        return (ridge + self.followers.change(one)).astype(np.float32)


class Lesson(NamedTuple):
    """Items (groups,): condition, stratum, cells; what is left to explain, float32 (groups, genes)."""

    condition: np.ndarray
    stratum: np.ndarray
    change: np.ndarray
    n: np.ndarray
    fresh: np.ndarray  # bool (groups,): no other condition of training has its targets


def words_of(
    conditions: Sequence[Perturbation],
    genes: Mapping[str, int],
    targets: Mapping[str, int],
    *,
    fresh: np.ndarray | None = None,
) -> Words:
    """Perturbations as numbers; those that are `fresh` are known by their genes alone."""
    width = max(1, max((len(one.targets) for one in conditions), default=1))
    shape = (len(conditions), width)
    gene, target = np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
    dose, there = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for i, one in enumerate(conditions):
        for j, (name, amount) in enumerate(zip(one.targets, one.doses)):
            gene[i, j] = genes.get(name, -1)
            target[i, j] = 0 if fresh is not None and fresh[i] else targets.get(name, 0)
            dose[i, j], there[i, j] = amount, True
    return Words(gene, target, dose, there)


def base_of(
    data: ResponseData, followers: Followers, *, alone: bool
) -> tuple[Base, Lesson, Lesson]:
    """The closed form, and what it leaves to explain in training and in validation conditions.

    In training a condition is explained as if it had been left out. `alone`: there is no closed form,
    and all of the change is left. Without conditions that validate, one in five of training does.
    """
    means = data.trained
    conditions = data.told.conditions
    trained = [conditions[code] for code in means.condition]
    targets = tuple(sorted({target for one in trained for target in one.targets}))
    strata = len(data.told.strata.levels)
    places = placed(followers) if set(targets) & set(followers.row) else {}
    design = Design(targets, strata, common=True, places=places, width=width_of(places))
    rows = design.rows(trained, means.stratum.tolist())
    control = _controls(means, strata)
    perturbed = means.condition > 0
    compared = perturbed & np.isfinite(control[means.stratum, 0])
    if alone:
        levels = control
        nothing = np.zeros((rows.shape[1], means.mean.shape[1]), np.float32)
        base = Base(design, nothing, followers)
        errors = means.mean - control[means.stratum]
    else:
        followers = _trusted(followers, trained, means, control, (rows, design))
        less = _less(means, trained, followers, np.arange(means.mean.shape[1]))
        chosen = choose(rows, less, design)
        levels, changes = solve(rows, less, design, chosen)
        base = Base(design, changes.astype(np.float32), followers)
        errors = left_out(rows, less, design, chosen, codes=means.condition)
    fresh = _fresh(trained)
    known = np.array([told_of(one, base, new=bool(f)) for one, f in zip(trained, fresh)])
    able = compared & (known | alone)
    lesson = Lesson(
        means.condition[able], means.stratum[able],
        errors[able].astype(np.float32), means.n[able], fresh[able] & (not alone),
    )  # fmt: skip
    unseen = _validation(data, base, levels, set(means.condition.tolist()), alone=alone)
    if len(np.unique(unseen.condition)) >= 3:
        return base, lesson, unseen
    held = np.isin(lesson.condition, np.unique(lesson.condition)[2::5])
    return base, _some(lesson, ~held), _some(lesson, held)


def placed(followers: Followers) -> dict[str, np.ndarray]:
    """Places of genes by name, of variance 1 in all."""
    scale = max(float(followers.places.std()), 1e-9) if followers.places.size else 1.0
    if not followers.places.shape[1]:
        return {}
    return {name: followers.places[i] / scale for name, i in followers.row.items()}


def width_of(places: Mapping[str, np.ndarray]) -> int:
    """How many components places have."""
    return len(next(iter(places.values()))) if places else 0


def _less(
    means: Means, trained: Sequence[Perturbation], followers: Followers, kept: np.ndarray
) -> Means:
    """Means of conditions without what is guessed of them, of some genes."""
    less = some_genes(means, kept)
    for row, one in zip(less.mean, trained):
        row -= followers.change(one)[kept]
    return less


def _trusted(
    followers: Followers,
    trained: Sequence[Perturbation],
    means: Means,
    control: np.ndarray,
    ridge: tuple[np.ndarray, Design],
) -> Followers:
    """How far single targets move themselves, and the share that tells left-out conditions best."""
    moved = [
        (means.mean[i, followers.row[one.targets[0]]] - control[s, followers.row[one.targets[0]]])
        / one.doses[0]
        for i, (one, s) in enumerate(zip(trained, means.stratum))
        if len(one.targets) == 1 and one.targets[0] in followers.row and np.isfinite(control[s, 0])
    ]
    if len(moved) < 2 or not followers.places.shape[1]:
        return followers
    own = float(np.median(moved))
    rows, design = ridge
    perturbed = means.condition > 0
    least, best, kept = np.inf, followers, most_responding(means)
    first = Penalties(OWN, controls_of(means), PLACED)
    for trust in TRUST:
        tried = replace(followers, own=own, trust=trust)
        less = _less(means, trained, tried, kept)
        errors = left_out(rows, less, design, first, codes=means.condition)[perturbed]
        loss = float((means.n[perturbed, None] * errors**2).sum())
        if loss < least:
            least, best = loss, tried
    return best


def told_of(one: Perturbation, base: Base, *, new: bool) -> bool:
    """Is anything known of its targets, by name (unless it is `new`) or by their places as genes?"""
    named = () if new else base.design.number
    return any(t in named or t in (base.design.places or {}) for t in one.targets)


def _validation(
    data: ResponseData, base: Base, levels: np.ndarray, seen: set[int], *, alone: bool
) -> Lesson:
    """Conditions of validation rows that never trained, and what the closed form leaves of them."""
    means = data.means(data.val)
    each = [data.told.conditions[code] for code in means.condition]
    new = np.array(
        [
            code > 0 and code not in seen and (alone or told_of(one, base, new=False))
            for code, one in zip(means.condition, each)
        ],
        dtype=bool,
    )
    new &= np.isfinite(levels[means.stratum, 0])
    made = [base.change(one, int(s)) for one, s, k in zip(each, means.stratum, new) if k]
    change = means.mean[new] - levels[means.stratum[new]]
    change = change - np.array(made).reshape(change.shape)
    return Lesson(
        means.condition[new], means.stratum[new], change.astype(np.float32), means.n[new],
        np.zeros(int(new.sum()), bool),
    )  # fmt: skip


def _some(lesson: Lesson, chosen: np.ndarray) -> Lesson:
    return Lesson(*(values[chosen] for values in lesson))


def _controls(means: Means, strata: int) -> np.ndarray:
    """The mean control of every stratum, NaN where it has none."""
    control = np.full((strata, means.mean.shape[1]), np.nan)
    own = means.condition == 0
    control[means.stratum[own]] = means.mean[own]
    return control


def _fresh(conditions: Sequence[Perturbation]) -> np.ndarray:
    """Which conditions have a target that no other condition has."""
    seen: dict[str, set[Perturbation]] = {}
    for one in conditions:
        for target in one.targets:
            seen.setdefault(target, set()).add(one)
    return np.array([any(len(seen[t]) == 1 for t in one.targets) for one in conditions], dtype=bool)


def noise(data: ResponseData) -> tuple[np.ndarray, np.ndarray]:
    """Of every gene, over training conditions: variance of changes beyond noise, and of noise."""
    means = data.trained
    control = _controls(means, len(data.told.strata.levels))
    kept = (means.condition > 0) & np.isfinite(control[means.stratum, 0])
    change = means.mean[kept] - control[means.stratum[kept]]
    of_noise = (means.variance[kept] / means.n[kept, None]).mean(axis=0)
    return np.maximum((change**2).mean(axis=0) - of_noise, 0), of_noise
