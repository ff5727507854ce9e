"""What every metric of responses sees: a perturbation at a time, its true change and a guessed one.

A change is a mean profile less that of controls, in log1p-cp10k, averaged over strata. The true one is
there twice: against controls that nothing else rests on (`truth`), and against the training controls
that every model has subtracted as well (`shared`), whose noise then stands on both sides. The targets
of a perturbation are never among the genes that it is judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._ranksum import Contrast

Array = np.ndarray

FLAT = 1e-6  # a spread that float32 makes of nothing, in log1p-cp10k
INDEPENDENT, SHARED = "ctrl=independent", "ctrl=shared"


@dataclass(frozen=True, eq=False)
class Design:
    """The n perturbations that are scored; what is the same for every guess.

    `truth`, `shared` and `mean` (n, genes) are the true changes and the mean change of the training
    perturbations in the strata of each; `own` the positions of the targets of each, `panel` bool
    (genes,) those of all; `expressed` the positions of the genes most expressed in controls; `scale`
    the median distance of training cells; `weights` (draws, n) those of the bootstrap.
    """

    truth: Array
    shared: Array
    mean: Array
    own: tuple[Array, ...]
    panel: Array
    expressed: Array
    weights: Array
    scale: float = 0.0

    def __len__(self) -> int:
        return len(self.truth)

    def others(self, unit: int) -> Array:
        """Genes that are no target of a perturbation, bool (genes,)."""
        kept = np.ones(self.truth.shape[1], dtype=bool)
        kept[self.own[unit]] = False
        return kept


class Cellwise(NamedTuple):
    """One stratum of a perturbation, cell by cell: tests against controls, and components (n, d)."""

    weight: float
    real: Contrast
    guess: Contrast
    real_points: Array
    guess_points: Array


class Case(NamedTuple):
    """What is guessed of a perturbation, (genes,): its change, to be held against either
    true one. `marked` are its most changed genes; `cells` its strata, where cells were looked at.
    `echo` are, for some halvings of the test controls, the difference of the halves and that of what
    was predicted from them.
    """

    unit: int
    change: Array
    shared: Array
    marked: Array | None = None
    cells: tuple[Cellwise, ...] = ()
    echo: tuple[tuple[Array, Array], ...] = ()

    def shared_noise(self, genes: Array) -> float:
        """What noise of the test controls adds to the product of true and guessed change.

        A change that is the same for every control has none. One that was predicted from the very
        controls that the truth subtracts may have; products of different halves are free of it.
        """
        found = []
        for control, guess in self.echo:
            x, y = control[genes], guess[genes]
            found.append(-float((x - x.mean()) @ (y - y.mean())) / 4)
        return float(np.mean(found)) if found else 0.0


class Units:
    """A number per perturbation; the result is their mean, drawn by perturbation."""

    def __init__(self, design: Design) -> None:
        self.values = np.full(len(design), np.nan)
        self.degenerate = np.zeros(len(design), dtype=bool)
        self._weights = design.weights

    def set(self, unit: int, value: float, *, degenerate: bool = False) -> None:
        """What a perturbation reached; NaN where that is not defined."""
        self.values[unit] = value
        self.degenerate[unit] = degenerate

    def result(self) -> Result:
        """The mean over perturbations; `features` holds the value of each."""
        known = np.isfinite(self.values)
        n, flat = int(known.sum()), int(self.degenerate.sum())
        if not n:
            note = "not defined for any of these perturbations"
            return Result(None, np.zeros(0), 0, flat, self.values, note)
        weights = self._weights[:, known]
        total = weights.sum(axis=1)
        drawn = (weights @ self.values[known])[total > 0] / total[total > 0]
        return Result(float(self.values[known].mean()), drawn, n, flat, self.values)


def correlation(x: Array, y: Array, noise: float = 0.0) -> tuple[float, bool]:
    """r of two vectors, and whether one does not vary (r is then 0); NaN under three values. `noise` is
    what their product owes to something that both have in common.
    """
    if len(x) < 3:
        return float("nan"), False
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    if min(np.abs(x).max(), np.abs(y).max()) <= FLAT or size == 0:
        return 0.0, True
    return float(np.clip((x @ y - noise) / size, -1, 1)), False


def averaged(values: list[tuple[float, float]]) -> float:
    """The mean of (weight, value) over those that are defined; NaN where none is."""
    known = [(weight, value) for weight, value in values if np.isfinite(value)]
    total = sum(weight for weight, _ in known)
    return sum(w * value for w, value in known) / total if total > 0 else float("nan")
