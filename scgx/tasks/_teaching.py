"""Classifiers that learn from real or from made cells, and answer for either: three rows of S2.

Real to real is what can be reached, real to synthetic asks whether made cells look like their
class, and synthetic to real whether they teach what is true.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scgx.metrics._calls import Calls, Counts, Design, Tally, mean_of
from scgx.metrics._panel import Result
from scgx.metrics._sets import CellSet
from scgx.tasks._answers import Answers, walk
from scgx.tasks._bootstrap import Bootstrap
from scgx.tasks._evaluate import metric
from scgx.tasks._scores import Extra

Array = np.ndarray

CLASSIFIERS = ("xgboost", "logistic")
REAL_REAL, REAL_MADE, MADE_REAL = "real-real", "real-synthetic", "synthetic-real"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Cells that teach, cells that may stop the teaching (else a tenth of the former), and names."""

    train: CellSet
    val: CellSet | None
    genes: Array
    classes: tuple[str, ...]
    column: str


Teacher = Callable[[str, Lesson, Sequence[CellSet]], list[Answers]]
Maker = Callable[[str, Lesson, Array], CellSet]


class Shipped(NamedTuple):
    """Shipped models: a classifier by name learns and answers for sets of cells; a generator by name
    learns and makes so many cells of each class (classes,).
    """

    teach: Teacher
    make: Maker


class Level(NamedTuple):
    """Fine classes as they are, or coarse ones: names, and where each fine class goes (classes,)."""

    name: str
    classes: tuple[str, ...]
    into: Array

    def key(self, name: str, classifier: str) -> str:
        """The id of a result."""
        return f"{name}@{classifier}" + ("" if self.name == "fine" else f",{self.name}")


class Row(NamedTuple):
    """One row of the table: who taught and who was asked, by which classifier, at which level."""

    kind: str
    classifier: str
    level: Level
    counts: Counts


def levels_of(classes: tuple[str, ...], coarse: Mapping[str, str]) -> list[Level]:
    """Fine, and coarse where there is a map."""
    made = [Level("fine", classes, np.arange(len(classes)))]
    if coarse:
        names = tuple(sorted({coarse[name] for name in classes}))
        into = np.array([names.index(coarse[name]) for name in classes], dtype=np.int64)
        made.append(Level("coarse", names, into))
    return made


class Judged(NamedTuple):
    """Results by id, and rows of the table."""

    results: dict[str, Result]
    rows: list[Row]


@dataclass(frozen=True, eq=False)
class School:
    """The real cells, and how classifiers are made; real ones are taught once."""

    teacher: Teacher
    train: CellSet
    val: CellSet | None
    test: CellSet
    genes: Array
    classes: tuple[str, ...]
    column: str
    drawn: Bootstrap
    levels: list[Level]

    def real(self, made: Sequence[CellSet]) -> dict[str, list[Answers]]:
        """Per classifier: answers for the test cells, then for each set of made cells."""
        lesson = Lesson(self.train, self.val, self.genes, self.classes, self.column)
        return {name: self.teacher(name, lesson, [self.test, *made]) for name in CLASSIFIERS}

    def judge(self, real: Mapping[str, Answers], fake: CellSet) -> Judged:
        """TRTS (`real` are the answers for `fake`) and TSTR of one set of made cells."""
        results: dict[str, Result] = {}
        rows: list[Row] = []
        lesson = Lesson(fake, None, self.genes, self.classes, self.column)
        for name in CLASSIFIERS:
            [taught] = self.teacher(name, lesson, [self.test])
            for level in self.levels:
                asked = (
                    (REAL_MADE, "trts", real[name], fake),
                    (MADE_REAL, "tstr", taught, self.test),
                )
                for kind, id, answers, cells in asked:
                    result, counts = self._ask(id, answers, cells, level)
                    results[level.key(id, name)] = result
                    rows.append(Row(kind, name, level, counts))
        return Judged(results, rows)

    def ideal(self, real: Mapping[str, Answers]) -> Judged:
        """TRTR: what both others are held against, under their ids."""
        results: dict[str, Result] = {}
        rows: list[Row] = []
        for name in CLASSIFIERS:
            for level in self.levels:
                result, counts = self._ask("tstr", real[name], self.test, level)
                results[level.key("tstr", name)] = results[level.key("trts", name)] = result
                rows.append(Row(REAL_REAL, name, level, counts))
        return Judged(results, rows)

    def _ask(
        self, id: str, answers: Answers, cells: CellSet, level: Level
    ) -> tuple[Result, Counts]:
        """Macro F1 and counts of answers for cells; only test cells are drawn again and again."""
        drawn = cells is self.test
        parts = self.drawn.parts if drawn else np.zeros(len(cells), dtype=np.int64)
        weights = self.drawn.weights if drawn else np.zeros((0, 1))
        design = Design(level.classes, weights)
        measure, tally = metric(id)(design), Tally(design)
        for calls in walk(answers, cells.codes, parts, self.classes):
            guess = np.where(calls.guess >= 0, level.into[calls.guess], -1)
            coarse = Calls(level.into[calls.truth], guess, guess, calls.parts)
            measure.update(coarse)
            tally.add(coarse)
        return measure.result(), tally.total


def summary(rows: Sequence[Row], guess: str) -> Extra:
    """Precision, recall and F1, macro and micro, of the three rows."""
    columns = ("taught-asked", "classifier", "classes", "precision macro", "recall macro", "F1 macro",
               "precision micro", "recall micro", "F1 micro")  # fmt: skip
    made = []
    for row in rows:
        made.append(
            (row.kind, row.classifier, row.level.name, *_macro(row.counts), *_micro(row.counts))
        )
    return Extra("train and test on real and on synthetic cells", guess, columns, tuple(made))


def by_class(rows: Sequence[Row], guess: str) -> list[Extra]:
    """A table per classifier and level: a row per class, then macro and micro, over the three rows."""
    made = []
    columns = ["class"]
    for kind in (REAL_REAL, REAL_MADE, MADE_REAL):
        columns += [f"{kind} {what}" for what in ("cells", "precision", "recall", "F1")]
    for classifier, level in dict.fromkeys((row.classifier, row.level.name) for row in rows):
        mine = {r.kind: r for r in rows if (r.classifier, r.level.name) == (classifier, level)}
        names = next(iter(mine.values())).level.classes
        body: list[list[object]] = [[name] for name in (*names, "macro", "micro")]
        for kind in (REAL_REAL, REAL_MADE, MADE_REAL):
            counts = mine[kind].counts
            values = np.array([counts.precision(), counts.recall(), counts.f1()]).T
            for code, line in enumerate(body[:-2]):
                found = (float(v) if np.isfinite(v) else None for v in values[code])
                line += [int(counts.true[code]), *found]
            body[-2] += [int(counts.n), *_macro(counts)]
            body[-1] += [int(counts.n), *_micro(counts)]
        lines = tuple(tuple(line) for line in body)
        made.append(
            Extra(f"{classifier}, {level} classes", guess, tuple(columns), lines, aside=True)
        )
    return made


def _macro(counts: Counts) -> tuple[float | None, ...]:
    """Means over classes."""
    found = (mean_of(values) for values in (counts.precision(), counts.recall(), counts.f1()))
    return tuple(float(value) if np.isfinite(value) else None for value in found)


def _micro(counts: Counts) -> tuple[float, float, float]:
    """Over all cells: right of what was answered, right of all, and their harmonic mean."""
    right, answered, n = float(counts.right.sum()), float(counts.guessed.sum()), float(counts.n)
    precision, recall = right / max(answered, 1), right / max(n, 1)
    return precision, recall, 2 * right / max(answered + n, 1)
