"""`score --task generation`: shipped models that learn from some cells: classifiers, and generators.

Cells go through files in the temporary folder, so that a model sees what `train` and
`classify` see.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from scgx import registry
from scgx.commands._score_shipped import Ask
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create
from scgx.learn import fit_generator, fit_labels
from scgx.learn.artifact import Artifact
from scgx.learn.classify import Classifier, lens_for
from scgx.learn.knobs import settings_of
from scgx.learn.model import generates
from scgx.metrics._sets import CellSet
from scgx.progress import Report, hushed
from scgx.tasks._answers import Answers, Held
from scgx.tasks._sampled import cell_set, placed
from scgx.tasks._teaching import Lesson, Maker, Shipped, Teacher

ROWS = 512  # cells that are made at a time


def fitter(ask: Ask) -> Shipped:
    """Both kinds of models."""
    return Shipped(_teacher(ask), _maker(ask))


def _teacher(ask: Ask) -> Teacher:
    """A function that teaches the classifier named and lets it answer for sets of cells."""

    def taught(name: str, lesson: Lesson, asked: Sequence[CellSet]) -> list[Answers]:
        registry.load("models", name)
        with ExitStack() as stack, hushed():
            cells = stack.enter_context(_file(ask, lesson, [lesson.train, lesson.val]))
            settings = settings_of(
                name, [], None, covariates=None, epochs=None, device="auto", labels=True
            )
            roles = fit_labels.LabelRoles(lesson.column, least=2)
            made = fit_labels.fit(name, cells, roles, settings, seed=ask.seed, report=Report())
            found = Artifact(made.header, made.summary, {}, name)
            answers: list[Answers] = []
            for some in asked:
                with _file(ask, lesson, [some]) as there:
                    lens = lens_for(found, there, 0.0)
                    one = Classifier(made.model, made.header, lens, there, name)  # type: ignore[arg-type]
                    blocks = list(one.probabilities(np.arange(len(some))))
                    answers.append(Held(tuple(one.classes), np.concatenate(blocks)))
        return answers

    return taught


def _maker(ask: Ask) -> Maker:
    """A function that fits the generator named and makes so many cells of each class."""

    def made(name: str, lesson: Lesson, sizes: np.ndarray) -> CellSet:
        if not generates(registry.load("models", name)):
            raise UsageError(f"--baseline {name} makes no cells", fix="resample, nb, copula do")
        settings = settings_of(name, [], None, covariates=None, epochs=None, device="auto")
        every = str(len(lesson.genes))
        roles = fit_generator.GeneratorRoles(lesson.column, features=every, least=1)
        with hushed(), _file(ask, lesson, [lesson.train, lesson.val]) as cells:
            fitted = fit_generator.fit(name, cells, roles, settings, seed=ask.seed, report=Report())
        [about] = fitted.header.conditions
        order = [lesson.classes.index(level) for level in about.levels]
        codes = np.repeat(np.arange(len(order)), sizes[order])
        rng = np.random.default_rng([ask.seed, 1])
        parts = [
            fitted.model.generate(codes[i : i + ROWS, None], None, rng)  # type: ignore[attr-defined]
            for i in range(0, len(codes), ROWS)
        ]
        place = {name: i for i, name in enumerate(lesson.genes)}
        where = np.array([place[name] for name in fitted.header.outputs.names], dtype=np.int64)
        counts = placed(parts, where, len(place))  # a gene that never varied stays zero
        return cell_set(counts, np.array(order)[codes])

    return made


@contextmanager
def _file(ask: Ask, lesson: Lesson, parts: Sequence[CellSet | None]) -> Iterator[Cells]:
    """Cells as a file: training rows, then validation rows where there are any."""
    some = [part for part in parts if part is not None]
    n = sum(len(part) for part in some)
    names = np.array([f"c{i}" for i in range(n)], dtype=object)
    words = np.concatenate([np.array(lesson.classes, dtype=object)[p.codes] for p in some])
    columns = {lesson.column: categorical(words)}
    if len(some) > 1:
        split = np.repeat(np.array(["train", "val"], dtype=object), [len(p) for p in some])
        columns["split"] = categorical(split)
    kinds = {"feature_types": categorical(["Gene Expression"] * len(lesson.genes))}
    with streams.temporary(streams.tmpdir()) as path:
        with create(path) as out:
            out.frame("obs", Frame(names, columns))
            out.frame("var", Frame(lesson.genes, kinds))
            with out.matrix("X", len(lesson.genes), np.float32) as append:
                for part in some:
                    append(part.counts)
            out.uns("scgx/units/X/rna", "counts")
        with open_cells(path, name="cells of the score", memory=ask.memory) as cells:
            yield cells
