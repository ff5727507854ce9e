"""`score --baseline NAME` of labels: a shipped classifier, fitted on the training rows."""

from collections.abc import Callable
from copy import copy

import numpy as np

from scgx import progress, registry
from scgx.commands._score_shipped import Ask
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.learn import fit_labels
from scgx.learn.artifact import Artifact
from scgx.learn.classify import Classifier, lens_for
from scgx.learn.knobs import settings_of
from scgx.learn.model import learns_labels
from scgx.tasks._answers import Answers, Held


def fitter(ask: Ask) -> Callable[[str, np.ndarray, str], Answers]:
    """A function that fits the classifier named and answers for rows of the truth.

    `parts` (cells,) says which cells train in place of the split of the truth.
    """

    def fitted(
        name: str, rows: np.ndarray, column: str, *, parts: np.ndarray | None = None
    ) -> Answers:
        if parts is not None:
            with progress.hushed():
                return answered(name, rows, column, _dealt(ask.truth, parts))
        cells = ask.train or ask.truth
        if not learns_labels(registry.load("models", name)):
            raise UsageError(f"--baseline {name} learns no labels", fix="logistic, xgboost, knn do")
        if ask.train is None and "split" not in cells.obs:
            raise DataError(
                f"--baseline {name} needs training rows",
                fix="scgx split the truth, or name --train FILE",
                file=cells.name,
            )
        return answered(name, rows, column, cells)

    def answered(name: str, rows: np.ndarray, column: str, cells: Cells) -> Answers:
        settings = settings_of(
            name, [], None, covariates=None, epochs=None, device="auto", labels=True
        )
        roles = fit_labels.LabelRoles(column, ask.source)
        made = fit_labels.fit(name, cells, roles, settings, seed=ask.seed, report=progress.Report())
        found = Artifact(made.header, made.summary, {}, name)
        lens = lens_for(found, ask.truth, 0.05)
        classifier = Classifier(made.model, made.header, lens, ask.truth, name)  # type: ignore[arg-type]
        blocks = list(classifier.probabilities(rows))
        return Held(tuple(classifier.classes), np.concatenate(blocks))

    return fitted


def _dealt(cells: Cells, parts: np.ndarray) -> Cells:
    """The same open file with another split, of which nothing is known but the parts."""
    other = copy(cells)
    other.obs = cells.obs.with_column("split", parts)
    other.scgx = {key: value for key, value in cells.scgx.items() if key != "split"}
    return other
