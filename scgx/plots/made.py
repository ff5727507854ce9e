"""Pictures of synthetic cells beside real ones."""

from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.plots.canvas import canvas, check_kind, save

_REAL, _MADE = "0.55", "#c0491f"


class Made(Protocol):
    """What is shown; `scgx.tasks._scores.MadeCells` is one."""

    @property
    def real(self) -> np.ndarray:
        """Two components and the code of the class of real cells (cells, 3)."""

    @property
    def points(self) -> dict[str, np.ndarray]:
        """The same of made cells."""

    @property
    def genes(self) -> dict[str, np.ndarray]:
        """Means of genes in real and in made cells (2, genes)."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What the bars are."""

    @property
    def bars(self) -> dict[str, list[float]]:
        """A number for each key."""


def cells(made: Made, path: Path) -> None:
    """Per maker of cells: real and made cells in two components, and means of genes; then bars."""
    kind = check_kind(path)
    names = list(made.points)
    figure = canvas(3.1 * len(names) + 3.6, 6.2)
    grid = figure.add_gridspec(2, len(names) + 1)
    for i, name in enumerate(names):
        _cloud(figure.add_subplot(grid[0, i]), made, name)
        _means(figure.add_subplot(grid[1, i]), made.genes[name])
    _bars(figure.add_subplot(grid[:, -1]), made)
    save(figure, path, kind)


def _cloud(axis, made: Made, name: str) -> None:  # type: ignore[no-untyped-def]
    every = np.vstack([made.real[:, :2], made.points[name][:, :2]])
    shade = np.repeat([_REAL, _MADE], [len(made.real), len(made.points[name])])
    order = np.random.default_rng(0).permutation(len(every))
    axis.scatter(*every[order].T, s=3, c=shade[order], linewidths=0, rasterized=True)
    axis.set_title(f"{name} (red) on real (grey)", fontsize=9, loc="left")
    axis.set_xlabel("component 1 of real training cells", fontsize=7)
    axis.set_ylabel("component 2", fontsize=7)
    axis.tick_params(labelsize=6)


def _means(axis, genes: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    top = float(genes.max(initial=0))
    axis.plot([0, top], [0, top], color="0.6", linewidth=0.8)
    axis.scatter(*genes, s=4, color="#1f5a94", linewidths=0, rasterized=True)
    axis.set_xlabel("mean log1p of a gene, real", fontsize=7)
    axis.set_ylabel("made", fontsize=7)
    axis.tick_params(labelsize=6)


def _bars(axis, made: Made) -> None:  # type: ignore[no-untyped-def]
    names, width = list(made.bars), 0.8 / max(1, len(made.keys))
    for i, key in enumerate(made.keys):
        places = np.arange(len(names)) + i * width
        axis.barh(places, [made.bars[name][i] for name in names], width, label=key)
    axis.set_yticks(np.arange(len(names)) + 0.4 - width / 2, names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("macro F1 on real held-out cells", fontsize=7)
    axis.legend(frameon=False, fontsize=6)
