"""What a search goes by: how well a fitted model does on validation rows, by a metric that scores use.

Test rows are never read. The rows are those that stopped and calibrated the model, so the value
of the chosen trial flatters it, the more trials there were: `scgx score` says what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scgx import registry
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.learn import apply, classify, two_sided
from scgx.learn.artifact import Artifact
from scgx.learn.parts import for_training, parts_of
from scgx.learn.train import restore
from scgx.learn.tune_response import Screening
from scgx.metrics._calls import Calls, Design
from scgx.metrics._panel import Moments, pearson
from scgx.registry import suggest

LOSS = "loss"
METRICS: Mapping[str, tuple[str, ...]] = {
    "labels": ("nll", "brier", "f1-macro", "accuracy", "balanced-accuracy", LOSS),
    "modality": ("pearson-per-feature", "mse", LOSS),
    "response": ("pearson-delta", LOSS),
    "generation": (LOSS,),
}
"""By kind of model, what it may be searched by; the first is taken where none is named."""

LOWER = {"mse", "nll", "brier", LOSS}


def metric_of(kind: str, name: str | None) -> str:
    """The metric of a search; UsageError for one that such models are not judged by."""
    known = METRICS.get(kind, ())
    if not known:
        raise DataError(
            "embeddings have no objective on validation rows",
            fix="scgx score --task embedding compares them",
        )
    wanted = known[0] if name is None else name.replace("_", "-")
    if wanted not in known:
        raise UsageError(f"--metric {name} is none for this search", fix=suggest(wanted, [*known]))
    return wanted


def direction(metric: str) -> int:
    """1 where more is better, else -1."""
    return -1 if metric in LOWER else 1


@dataclass(frozen=True)
class Judge:
    """The value of a model of some cells; `control` names the controls of a screen as `train` does."""

    cells: Cells
    metric: str
    seed: int
    control: str | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """Validation rows; DataError where there are none."""
        rows = for_training(self.cells, self.seed).val
        if not len(rows):
            stored = parts_of(self.cells) is not None
            why = "the split has no validation rows" if stored else "too few cells to validate"
            raise DataError(
                f"{why}, and a search needs them", fix="scgx split", file=self.cells.name
            )
        return rows

    def __call__(self, found: Artifact) -> float:
        """The value; DataError where it is not defined."""
        task = found.header.task
        judges: dict[str, Callable[[Artifact], float]] = {
            "labels": self._labels,
            "modality": self._modality,
            "response": self._response,
        }
        value = self._loss(found) if self.metric == LOSS else judges[task](found)
        if not np.isfinite(value):
            raise DataError(f"{self.metric} on the validation rows is {value}")
        return value

    def _loss(self, found: Artifact) -> float:
        """The least validation loss of an epoch, that of the weights that were kept."""
        losses = [record.get("val_loss") for record in found.header.records]
        known = [loss for loss in losses if isinstance(loss, float)]
        if not known:
            raise DataError(
                f"{found.header.model} keeps no validation loss, so nothing tells trials apart",
                fix="a model that trains in epochs, or another --metric",
            )
        return min(known)

    def _labels(self, found: Artifact) -> float:
        told = found.header.labels
        assert told is not None
        names = found.header.outputs.names
        code = {name: i for i, name in enumerate(names)}
        words = self.cells.obs.strings(told.column)[self.rows]
        truth = np.array([code.get(word, -1) for word in words], dtype=np.int64)
        rows, truth = self.rows[truth >= 0], truth[truth >= 0]
        if not len(rows):
            raise DataError(f"no validation row has a class of {told.column}", file=self.cells.name)
        judge = registry.load("metrics", self.metric).Metric(Design.plain(tuple(names)))
        done = 0
        for block in classify.opened(found, self.cells, 0.0).probabilities(rows):
            part = truth[done : done + len(block)]
            done += len(block)
            best, none = block.argmax(axis=1), np.zeros(len(block), dtype=np.int64)
            wide = block.astype(np.float64)
            judge.update(Calls(part, best, best, none, wide, wide.max(axis=1)))
        value = judge.result().value
        return float("nan") if value is None else float(value)

    def _modality(self, found: Artifact) -> float:
        header = found.header
        source = two_sided.align_side(self.cells, header, "inputs", 0.0)
        target = two_sided.align_side(self.cells, header, "outputs", 0.0)
        model = restore(found)
        sums: list[np.ndarray] | None = None
        shift = np.zeros((2, len(header.outputs.names)))
        guesses = apply.predict(model, self.cells, source, self.rows, found.name)
        truths = apply.blocks(self.cells, target, self.rows)
        for guess, together in zip(guesses, truths):
            known = np.empty(guess.shape, dtype=bool)
            truth = np.empty(guess.shape)
            for place, block in together:
                truth[place] = block.x[: len(place)].toarray()
                known[place] = block.present
            if sums is None:
                shift = np.stack([truth[0], guess[0].astype(np.float64)])
                sums = [np.zeros(guess.shape[1]) for _ in range(6)]
            t, p = np.where(known, truth - shift[0], 0), np.where(known, guess - shift[1], 0)
            for total, more in zip(sums, (known, t, p, t * t, p * p, t * p)):
                total += more.sum(axis=0)
        assert sums is not None
        moments = Moments.of(sums, shift[0], shift[1])
        each = pearson(moments)[0] if self.metric != "mse" else moments.mean_error()
        return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")

    def _response(self, found: Artifact) -> float:
        return self._screen(found)

    @cached_property
    def _screen(self) -> Screening:
        return Screening(self.cells, self.control, self.seed)
