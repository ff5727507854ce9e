"""Cell types: confusion and reliability, what speaks for a class, what samples are made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.plots.canvas import canvas, check_kind, colours, save


class Confusion(Protocol):
    """What a plot of labels shows; `scgx.tasks._scores.Confusion` is one."""

    classes: tuple[str, ...]
    matrices: dict[str, np.ndarray]
    reliability: dict[str, np.ndarray]
    risk: dict[str, np.ndarray]
    area: dict[str, float]


def confusion(picture: Confusion, path: Path) -> None:
    """Per guess: which share of each true class was called what, reliability, error by coverage."""
    kind = check_kind(path)
    side = max(3.0, 0.32 * len(picture.classes) + 1.5)
    across = 1 + 2 * bool(picture.risk)
    figure = canvas(side + 3.2 * (across - 1), side * len(picture.matrices))
    ratios = [side, 3.2, 3.2][:across]
    grid = figure.add_gridspec(len(picture.matrices), across, width_ratios=ratios)
    for row, (name, counts) in enumerate(picture.matrices.items()):
        _mistaken(figure.add_subplot(grid[row, 0]), picture.classes, counts)
        figure.axes[-1].set_title(f"{name}: % of each true class", fontsize=9, loc="left")
        if name in picture.risk:
            _reliable(figure.add_subplot(grid[row, 1]), picture.reliability[name])
            _risky(figure.add_subplot(grid[row, 2]), picture.risk[name], picture.area[name])
    save(figure, path, kind)


def _mistaken(axis, classes: Sequence[str], counts: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """A square per true class (rows) and called class (columns), in per cent of the row."""
    n = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(share >= 0.005)) if n <= 30 else ():
        shade = "white" if share[row, column] > 0.5 else "0.2"
        axis.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center",
                  fontsize=6, color=shade)  # fmt: skip
    axis.set_xticks(range(n), classes, rotation=90, fontsize=7)
    axis.set_yticks(range(n), classes, fontsize=7)
    axis.set_xlabel("called")
    axis.set_ylabel("truth")


def _reliable(axis, bins: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Accuracy against confidence; the larger a dot the more cells, on the diagonal is right."""
    n, confidence, accuracy = bins
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    axis.plot(confidence, accuracy, color="#1f5a94", linewidth=0.8)
    axis.scatter(confidence, accuracy, s=6 + 90 * n / n.sum(), color="#1f5a94")
    error = float((n * np.abs(accuracy - confidence)).sum() / n.sum())
    axis.set_title(f"reliability: error {error:.3f}", fontsize=9, loc="left")
    axis.set_xlabel("probability of the likeliest class")
    axis.set_ylabel("share that is right")
    axis.set_box_aspect(1)


def _risky(axis, curve: np.ndarray, area: float) -> None:  # type: ignore[no-untyped-def]
    """Error among the surest cells against the share that is kept."""
    coverage, error = curve
    axis.step(coverage, error, color="#1f5a94", where="post", linewidth=1)
    axis.set_xlim(0, 1)
    axis.set_ylim(bottom=0)
    axis.set_title(f"error by coverage: area {area:.3f}", fontsize=9, loc="left")
    axis.set_xlabel("share of cells that is kept")
    axis.set_ylabel("share of them that is wrong")
    axis.set_box_aspect(1)


class Weights(Protocol):
    """What a plot of weights shows; `scgx.learn.explain.Explained` is one."""

    @property
    def kind(self) -> str:
        """What the weights are."""

    @property
    def classes(self) -> "Sequence[Top]":
        """The heaviest features of each class."""


class Top(Protocol):
    """Features of one class, the heaviest first."""

    @property
    def name(self) -> str: ...
    @property
    def symbols(self) -> Sequence[str]: ...
    @property
    def weights(self) -> Sequence[float]: ...


def weights(told: Weights, path: Path) -> None:
    """A small chart of bars for each class."""
    kind = check_kind(path)
    across = min(4, len(told.classes))
    down = -(-len(told.classes) // across)
    most = max((len(top.symbols) for top in told.classes), default=1)
    figure = canvas(3 * across, max(1.2, 0.18 * most + 0.6) * down)
    for i, top in enumerate(told.classes, 1):
        axis = figure.add_subplot(down, across, i)
        places = range(len(top.symbols))
        axis.barh(places, top.weights, color="#1f5a94")
        axis.set_yticks(places, top.symbols, fontsize=7)
        axis.invert_yaxis()
        axis.tick_params(axis="x", labelsize=6)
        axis.set_title(top.name, fontsize=8, loc="left")
    figure.supxlabel(told.kind, fontsize=7)
    save(figure, path, kind)


class Shares(Protocol):
    """What a plot of compositions shows; `scgx.learn.composition.Composition` is one."""

    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def samples(self) -> Sequence[str]: ...
    @property
    def shares(self) -> np.ndarray: ...
    @property
    def reference_shares(self) -> np.ndarray | None: ...


def composition(made: Shares, path: Path) -> None:
    """A stacked bar per sample, and the reference as the last."""
    kind = check_kind(path)
    names, shares = list(made.samples), made.shares
    if made.reference_shares is not None:
        names, shares = [*names, "reference"], np.vstack([shares, made.reference_shares])
    rows = -(-len(made.classes) // 2)
    figure = canvas(8, max(2.0, 0.3 * len(names) + 0.9) + 0.16 * rows)
    axis = figure.add_subplot()
    left = np.zeros(len(names))
    shades = colours(len(made.classes))
    for k, word in enumerate(made.classes):
        axis.barh(range(len(names)), shares[:, k], left=left, color=shades[k], label=word)
        left += shares[:, k]
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of cells")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    save(figure, path, kind)
