"""How a search went: what each trial reached, and which knobs that hung on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scgx.plots.canvas import canvas, check_kind, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Point(NamedTuple):
    """A trial: its number, its value (None where it was stopped or failed), how its knobs stood."""

    number: int
    value: float | None
    is_default: bool
    knobs: Mapping[str, Any]


def search(
    points: Sequence[Point],
    importance: Mapping[str, float],
    path: Path,
    *,
    metric: str,
    direction: int,
) -> None:
    """Values by trial with the best so far; the share of each knob in their variance; values by the
    two knobs of the largest share. `direction` is 1 where more is better.
    """
    kind = check_kind(path)
    figure = canvas(11, 6.5)
    (top, beside), below = figure.subplots(2, 2)
    _history(top, points, metric, direction)
    _importance(beside, importance)
    leading = list(importance) or list(points[0].knobs if points else {})
    for axis, knob in zip(below, [*leading, None, None][:2]):
        if knob is None:
            axis.set_axis_off()
        else:
            _along(axis, [p for p in points if p.value is not None], knob, metric)
            axis.set_ylim(top.get_ylim())
    save(figure, path, kind)


def _history(axis: Axes, points: Sequence[Point], metric: str, direction: int) -> None:
    done = [p for p in points if p.value is not None]
    numbers = np.array([p.number for p in done])
    values = np.array([p.value for p in done], dtype=float)
    axis.plot(numbers, values, "o", color="#7fa8cf", markersize=5, label="trial")
    if len(done):
        best = np.maximum.accumulate(direction * values) * direction
        axis.step(numbers, best, where="post", color="#1f5a94", label="best so far")
    first = [value for p, value in zip(done, values) if p.is_default]
    if first:
        axis.axhline(first[0], color="0.5", linestyle=":", label="defaults", zorder=0)
    if ended := [p.number for p in points if p.value is None]:
        low = axis.get_ylim()[0]
        axis.plot(ended, [low] * len(ended), "x", color="0.5", label="stopped", clip_on=False)
        axis.set_ylim(bottom=low)
    axis.set_xlabel("trial")
    axis.set_ylabel(f"{metric}, validation")
    axis.locator_params(axis="x", integer=True)
    axis.legend(frameon=False, fontsize="small")


def _importance(axis: Axes, importance: Mapping[str, float]) -> None:
    if not importance:
        axis.text(0.5, 0.5, "too few trials to say\nwhat matters", ha="center", va="center")
        axis.set_axis_off()
        return
    names = list(importance)[::-1]
    axis.barh(names, [100 * importance[name] for name in names], color="#7fa8cf")
    axis.set_xlabel("% of the variance over trials (fANOVA)")


def _along(axis: Axes, points: Sequence[Point], knob: str, metric: str) -> None:
    raw = [p.knobs[knob] for p in points]
    values = np.array([p.value for p in points], dtype=float)
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in raw)
    if numeric:
        axis.plot(raw, values, "o", color="#7fa8cf", markersize=5)
        numbers = [float(v) for v in raw]
        if numbers and min(numbers) > 0 and max(numbers) / min(numbers) > 20:
            axis.set_xscale("log")
    else:
        names = sorted({str(v) for v in raw})
        axis.plot([names.index(str(v)) for v in raw], values, "o", color="#7fa8cf", markersize=5)
        axis.set_xticks(range(len(names)), names)
        axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_xlabel(knob)
    axis.set_ylabel(metric)
