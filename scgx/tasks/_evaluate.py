"""One guess against the truth, panel by panel, through any number of metrics."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from scgx import registry
from scgx.cluster.work import mapped
from scgx.metrics._panel import Design, Panel, Result, Side
from scgx.tasks._rows import Array, Rows, Some

GENE_SET = "@200"  # the suffix of a metric that rests on the most variable features alone
Results = Mapping[str, Result]
Known = Callable[[slice], Array]


class Truth:
    """The truth in panels; the last one is kept with its ranks, since every guess asks for it."""

    def __init__(
        self, rows: Rows, n_cells: int, n_features: int, width: int, known: Known | None = None
    ) -> None:
        """`known(columns)`: which entries were measured, bool (n, c); None where all were."""
        self.rows = rows
        self.n_cells = n_cells
        self.n_features = n_features
        self.width = width
        self.known = known
        self._last: tuple[slice, Side] | None = None

    def some(self, chosen: Array) -> "Truth":
        """Some of the cells."""
        whole = self.known
        known: Known | None = None if whole is None else lambda columns: whole(columns)[chosen]
        rows = Some(self.rows, chosen)
        return Truth(rows, len(chosen), self.n_features, self.width, known)

    def panels(self) -> list[slice]:
        """Runs of features that are worked on at a time."""
        starts = range(0, self.n_features, self.width)
        return [slice(i, min(i + self.width, self.n_features)) for i in starts]

    def side(self, columns: slice) -> Side:
        """The truth's side of a panel."""
        if self._last is None or self._last[0] != columns:
            known = None if self.known is None else self.known(columns)
            self._last = (columns, Side.of(self.rows.panel(columns), known))
        return self._last[1]


def width_for(n_cells: int, n_features: int, design: Design, memory: int) -> int:
    """How many features fit a quarter of the budget, with ranks, sums and draws (at least 16)."""
    draws, parts = design.weights.shape
    types = len(design.type_names) + 2
    per_feature = 8 * (12 * n_cells + 12 * draws + 5 * types * parts)
    return int(np.clip(memory // 4 // per_feature, 16, max(16, n_features)))


@cache
def metric(name: str) -> Any:
    """The class of a metric by its id."""
    return registry.load("metrics", name.replace("_", "-")).Metric


def evaluate(truth: Truth, guess: Rows, design: Design, metrics: Sequence[str]) -> Results:
    """Results by metric id; `@200` is added to the id for the set of variable features."""
    made = [metric(name)(design) for name in metrics]
    seen = mapped(partial(_seen, truth, guess, design, tuple(metrics)), truth.panels())
    for columns, parts in zip(truth.panels(), seen, strict=True):
        for one, part in zip(made, parts, strict=True):
            one.merge(part, columns)
    results = {one.id: one.result() for one in made}
    if design.variable is not None:
        for one in made:
            if one.gene_sets:
                results[one.id + GENE_SET] = one.result("variable")
    return results


def _seen(
    truth: Truth, guess: Rows, design: Design, metrics: tuple[str, ...], columns: slice
) -> list[Any]:
    """Metrics that have seen one panel alone."""
    made = [metric(name)(design) for name in metrics]
    left = truth.side(columns)
    panel = Panel(left, Side.of(guess.panel(columns), left.known), columns, design)
    for one in made:
        one.update(panel)
    return made
