"""Perturbation by perturbation through all metrics: guesses, baselines, a replicate, and the metrics
themselves.

The replicate is half of the test cells against the other half, each less its own half of the
controls. A metric that cannot tell such a replicate from the mean of the other perturbations is of no
use on these data, and is said to be (scPertEval).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from scgx.metrics._panel import Result
from scgx.metrics._response import INDEPENDENT, Case, Cellwise, Design, correlation
from scgx.tasks._evaluate import metric
from scgx.tasks._response_baselines import Answer
from scgx.tasks._response_cells import Look, Room, marked
from scgx.tasks._response_guess import Guessed
from scgx.tasks._responses import HALVINGS, Halves, Measured
from scgx.tasks._scores import Extra, Spread
from scgx.tasks._screened import Array

METRICS = (
    "pearson_delta", "pearson_delta_pertmean", "l2_top1000", "mse_delta", "pds", "centroid_accuracy",
    "de_overlap", "de_direction", "energy_perturbed", "mmd2_perturbed",
)  # fmt: skip
HEADLINE = f"pearson_delta@{INDEPENDENT}"
USELESS = 0.5  # of the perturbations: a metric that tells fewer from the mean is uninformative
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Bench:
    """What is measured, what all metrics share, and where cells are seen."""

    measured: Measured
    design: Design
    room: Room


@dataclass(frozen=True, eq=False)
class Replicate:
    """By key of a metric: mean and deviation over halvings; how well it tells a replicate from the
    mean; and r of each group (groups,) and of each perturbation (units,), the mean over halvings, NaN
    where it has no two halves.
    """

    spread: dict[str, Spread]
    power: dict[str, tuple[float, float]]  # share of perturbations told apart, dynamic range
    groups: Array
    units: Array


def keys() -> list[str]:
    """Every metric, and every variant of it."""
    found = []
    for name in METRICS:
        variants = getattr(metric(name), "variants", ())
        found += [f"{name}@{variant}" for variant in variants] or [name]
    return found


def judge(
    bench: Bench, answers: Sequence[Answer], guesses: Sequence[Guessed]
) -> dict[str, dict[str, Result]]:
    """Results by name of who answers, then by key. A baseline is its change, a guess its cells."""
    files = {guess.answer.name: guess for guess in guesses}
    every = [*(guess.answer for guess in guesses), *answers]
    pooled = {answer.name: bench.measured.pooled(answer.change) for answer in every}
    made = {answer.name: _made(bench.design) for answer in every}
    halves = [bench.measured.halves(turn).controls for turn in range(HALVINGS)]
    for unit in range(len(bench.design)):
        looks = bench.room.look(unit)
        chosen = marked(looks)
        shifted: dict[tuple[int, bytes], Cellwise] = {}  # of baselines that agree, only one
        for answer in every:
            guess = files.get(answer.name)
            cells = tuple(_seen(bench.room, look, answer, guess, shifted) for look in looks)
            change = pooled[answer.name][unit]
            case = Case(unit, change, change, chosen, cells, _echo(bench, guess, unit, halves))
            for one in made[answer.name].values():
                one.update(case)
    return {name: _results(one) for name, one in made.items()}


def replicate(bench: Bench) -> Replicate:
    """The ceiling, and the self-test of every metric."""
    found: dict[str, list[float]] = {}
    told: dict[str, list[tuple[Array, Array]]] = {}
    groups, units = [], []
    for turn in range(HALVINGS):
        halves = bench.measured.halves(turn)
        ours, theirs = _halving(bench, halves, turn)
        good, bad = _results(ours), _results(theirs)
        for key, result in good.items():
            if result.value is not None:
                found.setdefault(key, []).append(result.value)
            if result.features is not None:
                told.setdefault(key, []).append((result.features, _each(bad[key])))
        groups.append(_group_r(bench, halves))
        units.append(_each(good[HEADLINE]))
    spread = {key: Spread(float(np.mean(v)), float(np.std(v))) for key, v in found.items()}
    power = {key: _power(key, pairs) for key, pairs in told.items()}
    told_apart = {key: two for key, two in power.items() if two is not None}
    return Replicate(spread, told_apart, _known_mean(groups), _known_mean(units))


def self_test(found: Replicate) -> tuple[Extra, list[str]]:
    """The table of what metrics can tell on these data, and those that cannot."""
    rows = [
        (key, share, reach, "yes" if share >= USELESS else "uninformative on these data")
        for key, (share, reach) in found.power.items()
    ]
    columns = ("metric", "told apart", "dynamic range", "of use")
    title = "can a metric tell a replicate from the mean of the other perturbations?"
    return Extra(title, "", columns, tuple(rows)), [row[0] for row in rows if row[1] < USELESS]


def _known_mean(turns: Sequence[Array]) -> Array:
    """The mean over halvings, of those that have a value; NaN where none has."""
    known = np.array(turns)
    count = np.isfinite(known).sum(axis=0)
    return np.where(count > 0, np.nansum(known, axis=0) / np.maximum(count, 1), np.nan)


def _made(design: Design) -> dict[str, Any]:
    return {name: metric(name)(design) for name in METRICS}


def _results(made: dict[str, Any]) -> dict[str, Result]:
    found = {}
    for name, one in made.items():
        for variant in getattr(one, "variants", ()):
            found[f"{name}@{variant}"] = one.result(variant)
        if not getattr(one, "variants", ()):
            found[name] = one.result()
    return found


def _each(result: Result) -> Array:
    return np.zeros(0) if result.features is None else result.features


def _seen(
    room: Room,
    look: Look,
    answer: Answer,
    guess: Guessed | None,
    shifted: dict[tuple[int, bytes], Cellwise],
) -> Cellwise:
    if guess is not None and answer.own[look.group]:
        return room.predicted(look, guess)
    change = answer.change[look.group]
    key = look.group, change.tobytes()
    if key not in shifted:
        shifted[key] = room.shifted(look, change)
    return shifted[key]


def _echo(
    bench: Bench, guess: Guessed | None, unit: int, halves: Sequence[tuple[Array, Array]]
) -> tuple[tuple[Array, Array], ...]:
    """For each halving of the test controls: their difference, and that of what was predicted."""
    if guess is None or guess.echo is None:
        return ()
    groups = bench.room.ground.groups
    here = np.flatnonzero(groups.unit == unit)
    weight, stratum = groups.weight[here], groups.stratum[here]
    return tuple(
        (weight @ (one[stratum] - other[stratum]), weight @ guess.echo[turn][here])
        for turn, (one, other) in enumerate(halves)
    )


def _halving(bench: Bench, halves: Halves, turn: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """All metrics, of one half as a guess of the other, and of the mean of the other perturbations."""
    measured, stratum = bench.measured, bench.measured.group_stratum
    one, other = halves.controls
    train = measured.base[stratum]
    weights, usable = _whole(measured, halves)
    truth, shared, guess, guess_shared = (
        np.asarray(weights @ each, dtype=np.float32)
        for each in (
            halves.first - one[stratum], halves.first - train,
            halves.second - other[stratum], halves.second - train,
        )
    )  # fmt: skip
    design = replace(
        bench.design, truth=truth, shared=shared, weights=np.zeros((0, len(bench.design)))
    )
    ours, theirs = _made(design), _made(design)
    n = int(usable.sum())
    total, total_shared = guess[usable].sum(axis=0), guess_shared[usable].sum(axis=0)
    for unit in np.flatnonzero(usable).tolist():
        rest = (total - guess[unit]) / max(n - 1, 1)
        rest_shared = (total_shared - guess_shared[unit]) / max(n - 1, 1)
        looks = bench.room.look(unit)
        pairs = [bench.room.halved(look, measured, turn, rest) for look in looks]
        chosen = marked(looks)
        good, bad = (tuple(pair[side] for pair in pairs) for side in (0, 1))
        for made in ours.values():
            made.update(Case(unit, guess[unit], guess_shared[unit], chosen, good))
        if n > 1:
            for made in theirs.values():
                made.update(Case(unit, rest, rest_shared, chosen, bad))
    return ours, theirs


def _whole(measured: Measured, halves: Halves) -> tuple[sparse.csr_array, Array]:
    """Weights of the groups that have two halves, and which perturbations have such a group."""
    kept = measured.weights @ sparse.dia_array(
        (halves.whole[None].astype(np.float64), [0]), shape=(len(halves.whole),) * 2
    )
    total = np.asarray(kept.sum(axis=1)).ravel()
    scale = 1 / np.where(total > 0, total, 1)
    return sparse.csr_array(sparse.diags_array(scale) @ kept), total > 0


def _group_r(bench: Bench, halves: Halves) -> Array:
    """r of either half in each group alone, independent controls; NaN where a half is empty."""
    stratum = bench.measured.group_stratum
    first = halves.first - halves.controls[0][stratum]
    second = halves.second - halves.controls[1][stratum]
    return np.where(halves.whole, group_r(bench, first, second), np.nan)


def group_r(bench: Bench, x: Array, y: Array) -> Array:
    """r of the change of each group, (groups, genes) both, without its targets."""
    found = np.zeros(len(x))
    for k, unit in enumerate(bench.room.ground.groups.unit):
        kept = bench.design.others(int(unit))
        found[k], _ = correlation(x[k][kept], y[k][kept])
    return found


def _power(key: str, pairs: Sequence[tuple[Array, Array]]) -> tuple[float, float] | None:
    """The share of perturbations that are nearer to their replicate than to the mean, and how much of
    the way to the best value that is, all together (one by one it has no bounds where the mean is best
    already); None where nothing can be said.
    """
    measure = metric(key.partition("@")[0])
    good, bad = (np.concatenate([pair[side] for pair in pairs if len(pair[1])]) for side in (0, 1))
    known = np.isfinite(good) & np.isfinite(bad)
    if not known.any():
        return None
    sign = -measure.direction
    s_pos, s_neg, best = sign * good[known], sign * bad[known], sign * measure.ideal
    reach = float(np.mean(s_neg - best))
    return float(np.mean(s_pos < s_neg)), float(np.mean(s_neg - s_pos)) / max(reach, _TINY)
