"""Pictures of predicted responses: r of each perturbation, and guessed against true changes."""

from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.plots.canvas import canvas, check_kind, save

_ROWS = 40  # perturbations that are drawn: the best and the worst


class Answered(Protocol):
    """What is shown; `scgx.tasks._scores.Responses` is one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of perturbations."""

    @property
    def r(self) -> dict[str, np.ndarray]:
        """r of each perturbation, by who answers."""

    @property
    def truth(self) -> np.ndarray:
        """True changes of genes."""

    @property
    def guesses(self) -> dict[str, np.ndarray]:
        """Guessed ones."""


def responses(answered: Answered, path: Path) -> None:
    """A row of dots per perturbation, and a picture of changes per guess."""
    kind = check_kind(path)
    names = list(answered.guesses)
    figure = canvas(7.5 + 3.2 * len(names), 5.5)
    grid = figure.add_gridspec(1, len(names) + 2)
    _dots(figure.add_subplot(grid[0, :2]), answered)
    for i, name in enumerate(names):
        _changes(figure.add_subplot(grid[0, i + 2]), answered.truth, answered.guesses[name], name)
    save(figure, path, kind)


def _dots(axis, answered: Answered) -> None:  # type: ignore[no-untyped-def]
    first = next(iter(answered.guesses))
    order = np.argsort(-np.nan_to_num(answered.r[first], nan=-2.0), kind="stable")
    if len(order) > _ROWS:
        order = np.concatenate([order[: _ROWS // 2], order[-_ROWS // 2 :]])
    places = np.arange(len(order))
    for name, r in answered.r.items():
        shape, size = ("o", 22) if name in answered.guesses else ("|", 30)
        shade = {"replicate": "0.3"}.get(name)
        shown = "D" if name == "replicate" else shape
        axis.scatter(r[order], places, s=size, marker=shown, color=shade, label=name, alpha=0.85)
    axis.axvline(0, color="0.6", linewidth=0.6)
    axis.set_yticks(places, [answered.labels[i] for i in order], fontsize=6)
    axis.invert_yaxis()
    axis.set_xlabel("r of true and predicted change, independent controls", fontsize=7)
    axis.tick_params(axis="x", labelsize=6)
    lines = -(-len(answered.r) // 3)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.09), "ncols": 3}
    axis.legend(frameon=False, fontsize=6 if lines < 6 else 5, **below)


def _changes(axis, truth: np.ndarray, guess: np.ndarray, name: str) -> None:  # type: ignore[no-untyped-def]
    every = np.concatenate([truth, guess])
    ends = [float(every.min(initial=0)), float(every.max(initial=0))]
    cells = {"gridsize": 40, "bins": "log", "mincnt": 1, "cmap": "Blues"}
    axis.hexbin(truth, guess, linewidths=0.3, edgecolors="#7fa8cf", **cells)
    axis.plot(ends, ends, color="0.5", linewidth=0.8)
    axis.set_title(name, fontsize=9, loc="left")
    axis.set_xlabel("measured change", fontsize=7)
    axis.set_ylabel("predicted change", fontsize=7)
    axis.tick_params(labelsize=6)
