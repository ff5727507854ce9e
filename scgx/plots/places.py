"""Cells where an embedding puts them, a panel for each label or gene."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.plots.canvas import canvas, check_kind, colours, save

_NAMED = 30  # classes; more have colours and no legend
_ACROSS = 3
_LETTERS = 28  # of a name in a legend or title; longer ones are cut


class Panel(Protocol):
    """What cells are coloured by; `scgx.learn.colours.Panel` is one."""

    @property
    def name(self) -> str: ...
    @property
    def words(self) -> np.ndarray | None: ...
    @property
    def values(self) -> np.ndarray | None: ...


def cells(points: np.ndarray, panels: Sequence[Panel], name: str, path: Path) -> None:
    """Points (n, 2) once for each panel; however many cells, the picture stays small."""
    kind = check_kind(path)
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = canvas(5.0 * across, 4.0 * down)
    size = float(np.clip(20_000 / max(len(points), 1), 0.4, 14))
    if points.shape[1] < 2:
        points = np.column_stack([points, np.zeros(len(points))])
    for i, panel in enumerate(panels, 1):
        axis = figure.add_subplot(down, across, i)
        title = _short(panel.name)
        if panel.words is not None:
            many = _classes(axis, points, panel.words, size)
            title += f" ({many:,} levels)" if many > _NAMED else ""
        elif panel.values is not None:
            figure.colorbar(_values(axis, points, panel.values, size), ax=axis, shrink=0.6)
        else:
            _dots(axis, points, size, "#1f5a94")
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel(f"{name} 1", fontsize=7)
        axis.set_ylabel(f"{name} 2", fontsize=7)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[["top", "right"]].set_visible(False)
    save(figure, path, kind)


def _dots(axis, points: np.ndarray, size: float, colour: object, **more: object):  # type: ignore[no-untyped-def]
    return axis.scatter(*points.T, s=size, c=colour, linewidths=0, rasterized=True, **more)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _classes(axis, points: np.ndarray, words: np.ndarray, size: float) -> int:  # type: ignore[no-untyped-def]
    """A colour for each class, in random order so that none hides the others; grey is unknown.

    How many classes there are.
    """
    known = np.array([word is not None for word in words], dtype=bool)
    _dots(axis, points[~known], size, "0.85")
    names = sorted(
        set(words[known].astype(str)),
        key=lambda name: (len(name), name) if name.isdigit() else (0, name),
    )
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place[word] for word in words[known].astype(str)], dtype=np.int64)
    shades = np.array(colours(len(names))).reshape(-1, 4)
    order = np.random.default_rng(0).permutation(len(codes))
    _dots(axis, points[known][order], size, shades[codes[order]])
    if len(names) <= _NAMED:
        for shade, name in zip(shades, names, strict=True):
            axis.scatter([], [], s=18, color=shade, label=_short(name))
        columns = 1 + (len(names) > 15)
        axis.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=6, ncols=columns,
            handletextpad=0.1, borderaxespad=0.2, columnspacing=0.6,
        )  # fmt: skip
    return len(names)


def _values(axis, points: np.ndarray, values: np.ndarray, size: float):  # type: ignore[no-untyped-def]
    """The larger the later, so that few cells with much are seen; grey is unknown."""
    known = np.isfinite(values)
    _dots(axis, points[~known], size, "0.85")
    order = np.argsort(values[known], kind="stable")
    shown = values[known][order]
    low, high = (float(shown.min()), float(np.quantile(shown, 0.995))) if len(shown) else (0.0, 1.0)
    high = high if high > low else float(shown.max(initial=low)) or 1.0
    return _dots(axis, points[known][order], size, shown, cmap="viridis", vmin=low, vmax=high)
