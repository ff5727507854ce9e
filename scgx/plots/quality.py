"""Quality control: histograms of metrics and their bounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.errors import UsageError
from scgx.plots.canvas import canvas, check_kind, save


class Quality(Protocol):
    """One metric of cells: `scgx.cells.cleaning.Panel` is one."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def train(self) -> np.ndarray:
        """Values of training cells."""

    @property
    def other(self) -> np.ndarray:
        """Values of the other cells."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Bounds of all cells."""


def quality(panels: Sequence[Quality], path: Path) -> None:
    """A histogram of every metric, of training cells and of others, with the bounds of all cells."""
    kind = check_kind(path)
    if not panels:
        raise UsageError("--plot has no metric to draw", fix="leave it out")
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure = canvas(4 * across, 3 * down)
    for i, panel in enumerate(panels):
        _histogram(figure.add_subplot(down, across, i + 1), panel)
    save(figure, path, kind)


def _histogram(axis, panel: Quality) -> None:  # type: ignore[no-untyped-def]
    """Counts on a log scale of both axes, shares on plain ones."""
    groups = [values[np.isfinite(values)] for values in (panel.train, panel.other)]
    whole = np.concatenate([*groups, np.array(panel.edges, dtype=np.float64)])
    logged = not panel.name.startswith("pct") and whole.size > 0 and whole.max() > 100
    low, high = (float(whole.min()), float(whole.max())) if whole.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 60)
    if logged:
        edges = np.geomspace(max(low, 1), high, 60)
        axis.set_xscale("log")
        ticks = [n * 10**k for k in range(8) for n in (1, 2, 5) if low <= n * 10**k <= high]
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.xaxis.set_minor_formatter("")
    words = ("training cells", "others") if len(groups[1]) else ("all cells", "")
    for values, word, colour in zip(groups, words, ("#1f5a94", "#e0902f"), strict=True):
        if len(values):
            axis.hist(values, edges, histtype="step", color=colour, label=word)
    for edge in panel.edges:
        axis.axvline(edge, color="black", linestyle=":", linewidth=1)
    axis.set_yscale("log")
    axis.set_xlabel(panel.name)
    axis.set_ylabel("cells")
    axis.legend(frameon=False, fontsize=7)
