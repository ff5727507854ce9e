"""The task of cell types: a class for each cell, and how sure of it.

Cells pair by name. The headline is the mean F1 over classes, because accuracy is what the commonest
class makes of it. Classes are those of truth and guess together; a type that the model never saw is
wrong whatever it says, unless it says nothing.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import Frame
from scgx.metrics._calls import Array, Design, Tally
from scgx.metrics._panel import Result
from scgx.tasks import _bootstrap
from scgx.tasks._answers import Answers, Constant, Drawn, FileAnswers, walk
from scgx.tasks._averages import averages, per_class, top_k
from scgx.tasks._evaluate import metric
from scgx.tasks._hierarchy import through_map
from scgx.tasks._label_ground import Ground, ground_of, map_of, training_labels
from scgx.tasks._label_picture import picture
from scgx.tasks._leaks import leaks
from scgx.tasks._rejection import rejection
from scgx.tasks._request import Request
from scgx.tasks._scores import (
    BASELINE,
    CONTROL,
    GUESS,
    Entry,
    Extra,
    Level,
    Protocol,
    Scores,
    strongest,
)
from scgx.tasks._verdict import verdict

NAME = "labels"
HEADLINE = "f1_macro"
METRICS = (
    "f1_macro", "accuracy", "balanced_accuracy", "f1_weighted", "f1_micro", "median_f1",
    "top3_accuracy", "nll", "brier", "ece", "ece_adaptive", "ece_classwise", "aurc",
)  # fmt: skip
IN_LEVELS = ("f1_macro", "accuracy", "ece")


def score(ask: Request) -> Scores:
    """Everything about these guesses; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = ground_of(ask)
    obs = ask.truth.obs.take(ground.rows)
    by = ask.by or ground.split.by
    groups = obs.strings(by) if by and by in obs else None
    drawn = _bootstrap.plan(ground.names, groups, by, seed=ask.seed)
    beside = _baselines(ask, ground)
    classes = _classes(ground, beside)
    truth = _codes(ground.words, classes)

    entries, tallies = [], {}
    shown: list[tuple[str, str, Answers]] = []
    for name, guess in zip(ground.labels, ground.guesses, strict=True):
        shown.append((name, GUESS, guess))
    shown += beside
    for name, kind, answers in shown:
        weights = np.zeros((0, drawn.weights.shape[1])) if kind == CONTROL else drawn.weights
        results, tally = _evaluate(answers, truth, drawn.parts, Design(classes, weights), METRICS)
        covered = float(np.mean(answers.rows >= 0)) if isinstance(answers, FileAnswers) else 1.0
        entries.append(Entry(name, kind, results, covered))
        if kind == GUESS:
            bare = _bootstrap.without_interval(results, len(truth))
            ground.notes += [f"{name}: {words}" for words in bare]
        tallies[name] = tally
    judged = [entry for entry in entries if entry.kind == GUESS]
    best = strongest([e for e in entries if e.kind == BASELINE], HEADLINE, "higher")
    lost = _leaks(ask, ground)
    columns = dict.fromkeys([*([by] if groups is not None and drawn.optimistic else []), *ask.per])
    return Scores(
        task=NAME,
        truth=ask.truth.name,
        headline=HEADLINE,
        modality="label",
        units=ground.column,
        normalisation="none",
        n_cells=len(truth),
        n_features=len(classes),
        bootstrap=drawn.over,
        groups=drawn.groups,
        left_out=ground.left_out,
        seed=ask.seed,
        entries=tuple(entries),
        replicate={},
        protocols={key: _protocol(key, ground.column, classes) for key in METRICS},
        levels=tuple(
            level for column in columns for level in _levels(column, obs, shown, truth, classes)
        ),
        verdicts=tuple(verdict(entry, best, HEADLINE, drawn) for entry in judged),
        notes=tuple(ground.notes),
        picture=picture(shown, truth, classes) if ask.picture else None,
        extras=lost
        + tuple(
            extra
            for name, guess in zip(ground.labels, ground.guesses, strict=True)
            for extra in (
                per_class(name, tallies[name].total, classes),
                averages(name, tallies[name]),
                *top_k(name, guess, truth, classes),
                *rejection(name, guess, truth, classes),
                *through_map(name, guess, truth, classes, map_of(guess.cells)),
            )
        ),
        what="classes",
    )


def _leaks(ask: Request, ground: Ground) -> tuple[Extra, ...]:
    """The leak check, where it was asked for."""
    if not ask.leak_check:
        return ()
    if ask.fitted is None:
        raise UsageError("--leak-check cannot fit a model here")
    ask.say("leak check: fits logistic on the split, and on a random one of the same sizes")
    table, meaning = leaks(
        ask.truth, ground.column, ground.split.by, ground.rows, fitted=ask.fitted, seed=ask.seed
    )
    ground.notes.append(meaning)
    return (table,)


def _refuse_options(ask: Request) -> None:
    given = {"--modality": ask.modality, "--units": ask.units, "--layer": ask.layer}
    for option, value in [*given.items(), ("--covariate", ask.covariates or None)]:
        if value is not None:
            raise UsageError(f"{option} is of no use to labels", fix=f"leave {option} out")


def _baselines(ask: Request, ground: Ground) -> list[tuple[str, str, Answers]]:
    """Majority and chance, from training labels; and the shipped models that were asked for."""
    made: list[tuple[str, str, Answers]] = []
    known = training_labels(ask, ground)
    if known is None:
        if ask.baselines:
            raise DataError(
                f"--baseline {ask.baselines[0]} needs training rows",
                fix="scgx split the truth, or name --train FILE",
            )
        ground.notes.append("no training rows are known, so there is no baseline")
        return made
    names, counts = known
    share = counts / counts.sum()
    made.append(("majority", BASELINE, Constant(names, share)))
    if not ask.baselines and (ask.train is not None or len(ground.split.train)):
        ground.notes.append("majority is a weak baseline: --baseline logistic fits a strong one")
    for name in ask.baselines:
        if name == "majority":
            continue
        if ask.fitted is None:
            raise UsageError(f"--baseline {name} cannot be fitted here")
        made.append((name, BASELINE, ask.fitted(name, ground.rows, ground.column)))
    order = np.argsort(ground.names.astype(str), kind="stable")
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.random.default_rng(ask.seed).choice(len(names), len(order), p=share)
    made.append(("chance", CONTROL, Drawn(names, codes)))
    return made


def _classes(ground: Ground, beside: Sequence[tuple[str, str, Answers]]) -> tuple[str, ...]:
    every = set(ground.words.tolist())
    for guess in ground.guesses:
        every |= set(guess.classes)
    for _name, _kind, answers in beside:
        every |= set(answers.classes)
    return tuple(sorted(every))


def _codes(words: Array, classes: tuple[str, ...]) -> Array:
    place = {name: code for code, name in enumerate(classes)}
    return np.array([place[word] for word in words], dtype=np.int64)


def _evaluate(
    answers: Answers, truth: Array, parts: Array, design: Design, metrics: Sequence[str]
) -> tuple[dict[str, Result], Tally]:
    made = [metric(name)(design) for name in metrics]
    tally = Tally(design)
    for calls in walk(answers, truth, parts, design.classes):
        tally.add(calls)
        for one in made:
            one.update(calls)
    return {one.id: one.result() for one in made}, tally


def _levels(
    column: str,
    obs: Frame,
    shown: Sequence[tuple[str, str, Answers]],
    truth: Array,
    classes: tuple[str, ...],
) -> list[Level]:
    """The same scores within each level of a column: the cells of a level are its own part."""
    words = np.array(["missing" if w is None else w for w in obs.strings(column)], dtype=str)
    names, codes = np.unique(words, return_inverse=True)
    values: list[dict[str, dict[str, float | None]]] = [{} for _ in names]
    for name, _kind, answers in shown:
        made = [[metric(key)(Design.plain(classes)) for key in IN_LEVELS] for _ in names]
        for calls in walk(answers, truth, codes, classes):
            for code in np.unique(calls.parts):
                inside = calls.take(np.flatnonzero(calls.parts == code)).in_one_part()
                for one in made[code]:
                    one.update(inside)
        for code, group in enumerate(made):
            values[code][name] = {one.id: one.result().value for one in group}
    counts = np.bincount(codes, minlength=len(names))
    return [Level(column, str(name), int(counts[i]), values[i]) for i, name in enumerate(names)]


def _protocol(key: str, column: str, classes: tuple[str, ...]) -> Protocol:
    measure = metric(key)
    return Protocol(
        id=key,
        definition=measure.definition,
        direction="higher" if measure.direction > 0 else "lower",
        task=NAME,
        modality="label",
        layer="obs",
        units=column,
        normalisation="none",
        features=f"{len(classes)} classes of truth and guesses",
        features_digest=sha256("\n".join(classes).encode()).hexdigest()[:16],
        ties="the first class of equals",
        degenerate="a class on neither side is left out",
        not_covered="wrong",
    )
