"""What is said of responses besides the scores: per perturbation, by how new it is, within strata."""

from collections.abc import Mapping, Sequence

import numpy as np

from scgx.metrics._response import INDEPENDENT, SHARED
from scgx.tasks._response_baselines import Answer
from scgx.tasks._response_walk import HEADLINE, Bench, Replicate, group_r
from scgx.tasks._scores import Entry, Extra, Level, Responses, Spread, Verdict
from scgx.tasks._screened import Array, Ground

BESIDE = (HEADLINE, f"pearson_delta@{SHARED}", "pearson_delta_pertmean", "pds")
ROUNDING = 1e-5  # a distance of profiles that is none
LEAST = 0.2  # r of a replicate, under which nothing can be scored
UNSCORED = "cannot be scored on these data"
_SHOWN = 24  # rows of the short table; the long one is in files
_STRATA = 40


def per_unit(ground: Ground, guess: Entry, answer: Answer, beside: Sequence[Entry]) -> list[Extra]:
    """A short table of r for a guess and what stands beside it, and a long one of every metric."""
    cells = np.bincount(ground.groups.unit, ground.groups.cells).astype(int)
    answered = np.bincount(ground.groups.unit, ground.groups.weight * answer.own)
    value = {entry.name: _each(entry, HEADLINE) for entry in (guess, *beside)}
    order = np.argsort(-np.nan_to_num(value[guess.name], nan=-2.0), kind="stable").tolist()
    short = order if len(order) <= _SHOWN else [*order[: _SHOWN // 2], *order[-_SHOWN // 2 :]]
    head = ("perturbation", "how new", "cells", "answered")

    def first(i: int) -> tuple[object, ...]:
        return ground.labels[i], ground.kinds[i], int(cells[i]), float(answered[i])

    rows = [(*first(i), *(_number(value[name][i]) for name in value)) for i in short]
    some = "" if len(short) == len(order) else f", the best and worst {_SHOWN // 2}"
    every = {key: _each(guess, key) for key in guess.results}
    long = [(*first(i), *(_number(every[key][i]) for key in every)) for i in order]
    return [
        Extra(f"{HEADLINE} per perturbation{some}", guess.name, (*head, *value), tuple(rows)),
        Extra("per perturbation", guess.name, (*head, *every), tuple(long), aside=True),
    ]


def by_kind(ground: Ground, entries: Sequence[Entry]) -> tuple[Level, ...]:
    """Scores of perturbations that are new in the same way."""
    kinds = np.array(ground.kinds)
    found = []
    for kind in sorted(set(ground.kinds)):
        here = kinds == kind
        values = {
            entry.name: {key: _mean(_each(entry, key)[here]) for key in BESIDE} for entry in entries
        }
        found.append(Level("familiarity", kind, int(here.sum()), values))
    return tuple(found)


def strata(
    bench: Bench, ground: Ground, answers: Sequence[Answer], found: Replicate
) -> tuple[list[Extra], list[str]]:
    """r within each stratum, and the strata whose replicate says that nothing can be scored there."""
    measured, groups = bench.measured, ground.groups
    truth = measured.test - measured.test_control[groups.stratum]
    r = {answer.name: group_r(bench, truth, answer.change) for answer in answers}
    rows, unscored = [], []
    for stratum in np.unique(groups.stratum):
        here = groups.stratum == stratum
        ceiling = _mean(found.groups[here])
        name = ground.strata.names[stratum]
        known = ceiling is not None and ceiling >= LEAST
        if not known:
            unscored.append(name)
        values = [_mean(each[here]) for each in r.values()]
        rows.append(
            (name, int(here.sum()), int(groups.cells[here].sum()), *values, ceiling,
             "yes" if known else UNSCORED)
        )  # fmt: skip
    columns = (
        ", ".join(ground.strata.columns), "perturbations", "cells", *r, "replicate", "can be scored"
    )  # fmt: skip
    if not ground.strata.columns:
        return [], []
    title = f"{HEADLINE} within strata"
    return [Extra(title, "", columns, tuple(rows), aside=len(rows) > _STRATA)], unscored


def coverage(answers: Sequence[Answer], ground: Ground) -> list[str]:
    """Which baselines have no answer of their own for some perturbations."""
    n = len(ground.units)
    found = []
    for answer in answers:
        share = answer.coverage(ground.groups.weight, n)
        if share < 1 - 1e-9:
            found.append(f"{answer.name} {share * n:.3g} of {n}")
    words = "the others count as the mean of the training perturbations"
    return [f"have an answer of their own: {', '.join(found)}; {words}"] if found else []


def told(verdict: Verdict, entry: Entry, spread: Mapping[str, Spread], n: int) -> Verdict:
    """The verdict in the light of the replicate; none where that is near zero, of so few, or of what
    is the truth itself.
    """
    errors = [entry.results[f"l2_top1000@{one}"].value for one in (INDEPENDENT, SHARED)]
    if any(error is not None and error <= ROUNDING for error in errors):
        words = f"{entry.name} equals the truth in all perturbations, so no verdict (a copy of it?)"
        return Verdict(entry.name, None, None, None, words)
    ceiling = spread.get(HEADLINE)
    if ceiling is None or ceiling.mean < LEAST:
        r = "none" if ceiling is None else f"{ceiling.mean:.2f}"
        words = f"{entry.name}: {UNSCORED}: r of two halves of the test cells is {r}, under {LEAST}"
        return Verdict(entry.name, verdict.baseline, verdict.difference, None, words)
    if n < 5:
        words = (
            f"{entry.name}: {n} perturbations are too few for an interval, so no verdict: "
            f"{HEADLINE} {entry.results[HEADLINE].value:.3f}"
        )
        if verdict.difference is not None:
            words += (
                f", difference to the best baseline, {verdict.baseline}, {verdict.difference:+.3f}"
            )
        verdict = Verdict(entry.name, verdict.baseline, verdict.difference, None, words)
    shared = entry.results[BESIDE[1]].value
    more = f"; replicate {ceiling.mean:.3f}"
    if shared is not None:
        more += f"; with shared controls, which flatter, {shared:.3f}"
    return Verdict(
        verdict.guess, verdict.baseline, verdict.difference, verdict.interval, verdict.sentence + more
    )  # fmt: skip


def picture(
    bench: Bench,
    ground: Ground,
    entries: Sequence[Entry],
    changes: Mapping[str, Array],
    found: Replicate,
) -> Responses:
    """r of each perturbation, by entry, and true against guessed changes of up to 20,000 values."""
    truth = bench.design.truth
    step = max(1, truth.size // 20_000)
    r = {entry.name: _each(entry, HEADLINE) for entry in entries}
    guesses = {name: values.ravel()[::step] for name, values in changes.items()}
    return Responses(
        tuple(ground.labels), {**r, "replicate": found.units}, truth.ravel()[::step], guesses
    )


def _each(entry: Entry, key: str) -> Array:
    values = entry.results[key].features
    return np.zeros(0) if values is None else values


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
