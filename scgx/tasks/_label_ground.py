"""Cells whose types are scored: true classes, guesses beside them by name, and what trained."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.metrics._calls import Array
from scgx.tasks import _pairing
from scgx.tasks._answers import FileAnswers
from scgx.tasks._request import Request


@dataclass
class Ground:
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


def ground_of(ask: Request) -> Ground:
    """Test cells with a class that no guess was trained on; DataError where there is none."""
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
    ground = Ground(column, split, rows, names, words[rows], guesses, labels, left_out, notes)
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


def map_of(guess: Cells) -> dict[str, str]:
    """Fine to coarse classes as the model has them; empty where it has none, or answered in coarse."""
    facts = _facts(guess)
    coarse = facts.get("coarse")
    return coarse if isinstance(coarse, dict) and not facts.get("is_coarse") else {}


def _odd(name: str, found: FileAnswers, ground: Ground) -> list[str]:
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


def training_labels(ask: Request, ground: Ground) -> tuple[tuple[str, ...], Array] | None:
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
