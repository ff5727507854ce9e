"""The task of cell types: a class for each cell, and how sure of it.

Cells pair by name. The headline is the mean F1 over classes, because accuracy is what the commonest
class makes of it. Classes are those of truth and guess together; a type that the model never saw is
wrong whatever it says, unless it says nothing.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.metrics._calls import Array, Design, Tally
from scgx.metrics._panel import Result
from scgx.tasks import _bootstrap, _pairing
from scgx.tasks._answers import Answers, Constant, Drawn, FileAnswers, walk
from scgx.tasks._averages import averages, per_class, top_k
from scgx.tasks._evaluate import metric
from scgx.tasks._hierarchy import through_map
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


@dataclass
class _Ground:
    """The scored cells: rows of the truth, true classes as words, guesses beside them."""

    column: str
    split: _pairing.Split
    rows: Array
    names: Array
    words: Array
    guesses: list[FileAnswers]
    labels: list[str]
    left_out: int
    notes: list[str]


def score(ask: Request) -> Scores:
    """Everything about these guesses; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = _ground(ask)
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
                *through_map(name, guess, truth, classes, _map_of(guess.cells)),
            )
        ),
        what="classes",
    )


def _leaks(ask: Request, ground: _Ground) -> tuple[Extra, ...]:
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


def _ground(ask: Request) -> _Ground:
    column = ask.label or _column(ask.guesses)
    truth = ask.truth
    for wanted in (column, *ask.per, *([ask.by] if ask.by else [])):
        truth.obs.strings(wanted)  # refuses an unknown one, and names the nearest
    split = _pairing.split_of(truth)
    every = ["the truth has no split: all its rows are scored"]
    notes = list(split.notes) if split.found else every
    for cells in (truth, *ask.guesses):
        cells.require_unique("obs")
    position = {name: i for i, name in enumerate(truth.obs_names)}
    for guess in ask.guesses:
        _pairing.refuse_strangers(guess, position)
    words = truth.obs.strings(column)
    labelled = np.array([word is not None for word in words[split.test]], dtype=bool)
    if lacking := int((~labelled).sum()):
        notes.append(f"{lacking:,} of {len(labelled):,} scored cells have no {column}: left out")
    rows = split.test[labelled]
    if not len(rows):
        raise DataError(f"no scored row has a {column}", file=truth.name)
    seen = _pairing.trained(truth, ask.guesses, rows, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    rows = rows[~seen]
    names = truth.obs_names[rows]
    guesses = []
    for guess in ask.guesses:
        found = FileAnswers.of(guess, _pairing.find(guess.obs_names, names))
        if not (found.rows >= 0).any():
            raise DataError("holds none of the scored rows", file=guess.name)
        guesses.append(found)
    labels = _pairing.short_names(ask.guesses)
    ground = _Ground(column, split, rows, names, words[rows], guesses, labels, left_out, notes)
    for name, found in zip(labels, guesses, strict=True):
        notes += _odd(name, found, ground)
    return ground


def _column(guesses: Sequence[Cells]) -> str:
    """The column that the models of the guesses were trained on."""
    found = {str(_facts(guess).get("label") or "") for guess in guesses} - {""}
    if len(found) != 1:
        raise UsageError("which column has the true classes?", fix="name it with --label")
    return found.pop()


def _facts(guess: Cells) -> dict[str, object]:
    recorded = guess.scgx.get("model")
    facts = json.loads(recorded) if isinstance(recorded, str) else {}
    return facts if isinstance(facts, dict) else {}


def _map_of(guess: Cells) -> dict[str, str]:
    """Fine to coarse classes as the model has them; empty where it has none, or answered in coarse."""
    facts = _facts(guess)
    coarse = facts.get("coarse")
    return coarse if isinstance(coarse, dict) and not facts.get("is_coarse") else {}


def _odd(name: str, found: FileAnswers, ground: _Ground) -> list[str]:
    """What is to be said about a guess: missing cells, unknown ones, classes on one side only."""
    notes = []
    there = found.rows[found.rows >= 0]
    if len(there) < len(found.rows):
        share = len(there) / len(found.rows)
        notes.append(f"{name} covers {share:.1%} of the scored cells; the others count as wrong")
    if silent := int((found.unknown[there] | (found.codes[there] < 0)).sum()):
        right = found.codes[there] >= 0
        right &= ~found.unknown[there]
        answers = np.array(found.classes, dtype=object)[found.codes[there][right]]
        good = float(np.mean(answers == ground.words[found.rows >= 0][right])) if right.any() else 0
        notes.append(
            f"{name} leaves {silent:,} cells unknown, which count as wrong;"
            f" of those it answers {good:.1%} are right"
        )
    counts = Counter(ground.words.tolist())
    strange = sorted(counts.keys() - set(found.classes))
    if len(strange) == len(counts):
        raise DataError(
            f"none of its classes ({', '.join(map(repr, found.classes[:3]))}, ...) is a class of"
            f" obs[{ground.column!r}] ({strange[0]!r}, ...)",
            fix="name another column with --label, or classify with --coarse",
            file=found.cells.name,
        )
    if strange:
        listed = ", ".join(f"{word} ({counts[word]:,})" for word in strange[:5])
        notes.append(f"{name} does not know, and gets wrong: {listed}")
    called = Counter(found.codes[there[~found.unknown[there]]].tolist())
    absent = {found.classes[code]: n for code, n in called.items() if code >= 0}
    absent = {word: n for word, n in sorted(absent.items()) if word not in counts}
    if absent:
        listed = ", ".join(f"{word} ({n:,} called so)" for word, n in list(absent.items())[:5])
        notes.append(f"no scored cell is, though {name} says so (f1 0 in the mean): {listed}")
    return notes


def _baselines(ask: Request, ground: _Ground) -> list[tuple[str, str, Answers]]:
    """Majority and chance, from training labels; and the shipped models that were asked for."""
    made: list[tuple[str, str, Answers]] = []
    known = _training_labels(ask, ground)
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


def _training_labels(ask: Request, ground: _Ground) -> tuple[tuple[str, ...], Array] | None:
    """Classes and how many training cells each has: of --train, of the truth, or as a guess says."""
    words = np.zeros(0, dtype=object)
    if ask.train is not None:
        there = ask.train.obs.strings(ground.column)
        if "split" in ask.train.obs:
            there = there[ask.train.obs.strings("split") == "train"]
        words = there
    elif len(ground.split.train):
        words = ask.truth.obs.strings(ground.column)[ground.split.train]
    counts = Counter(str(word) for word in words if word is not None)
    for guess in ask.guesses if not counts else ():
        facts = _facts(guess)
        names, numbers = facts.get("classes"), facts.get("counts")
        if isinstance(names, list) and isinstance(numbers, list) and len(names) == len(numbers):
            coarse = facts.get("coarse") if facts.get("is_coarse") else None
            for name, number in zip(names, numbers, strict=True):
                counts[str(coarse[name] if isinstance(coarse, dict) else name)] += int(number)
            break
    if not counts:
        return None
    known = tuple(sorted(counts))
    return known, np.array([counts[name] for name in known], dtype=np.float64)


def _classes(ground: _Ground, beside: Sequence[tuple[str, str, Answers]]) -> tuple[str, ...]:
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
