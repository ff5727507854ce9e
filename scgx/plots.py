"""Pictures: the one home of matplotlib, which is imported only when something is drawn.

Everything is written to a file whose suffix says the kind; there is never a window. The same input
gives the same bytes (no date, a fixed salt for the ids of SVG).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scgx.errors import MachineError, UsageError
from scgx.h5ad import streams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")
_LONGEST = 40  # beyond so many chromosomes the rest is left out (scaffolds)


class Picture(Protocol):
    """What a score plot shows; `scgx.tasks._scores.Picture` is one."""

    chrom: np.ndarray
    start: np.ndarray
    r: dict[str, np.ndarray]
    truth: np.ndarray
    guesses: dict[str, np.ndarray]


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


def check_kind(path: Path) -> str:
    """The kind that the suffix asks for; a usage error for any other."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UsageError(f"--plot {str(path)!r} is no picture", fix="end it in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise MachineError(f"folder {path.parent} does not exist", fix="make it first")
    return kind


def curve(records: Sequence[Mapping[str, object]], path: Path) -> None:
    """Training and validation loss per epoch, and the epoch whose weights were kept.

    A record has `epoch`, `train_loss` and `val_loss` (None without validation rows). A model that
    does not train in epochs has no records, which is a usage error.
    """
    kind = check_kind(path)
    rows = [record for record in records if "epoch" in record]
    if not rows:
        raise UsageError("--plot needs a model that trains in epochs", fix="leave it out")
    figure = canvas(7, 4)
    axis = figure.add_subplot()
    epochs = [_number(record["epoch"]) for record in rows]
    for name, words in (("train_loss", "training"), ("val_loss", "validation")):
        values = [_number(record.get(name)) for record in rows]
        if np.isfinite(values).any():
            axis.plot(epochs, values, label=words, marker="." if len(values) < 30 else "")
    judged = np.array([_number(record.get("val_loss")) for record in rows])
    losses = np.array([_number(record.get("train_loss")) for record in rows])
    stopped = np.isfinite(judged).any()  # without validation rows the last epoch is kept
    best = int(np.nanargmin(judged)) if stopped else len(rows) - 1
    judged = judged if stopped else losses
    if np.isfinite(judged[best]):
        axis.axvline(epochs[best], color="0.5", linestyle=":", zorder=0)
        axis.plot(epochs[best], judged[best], "o", color="black", markersize=5)
        axis.annotate(
            f"kept: epoch {epochs[best]:.0f}", (epochs[best], judged[best]),
            xytext=(4, 8), textcoords="offset points",
        )  # fmt: skip
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss")
    axis.legend(frameon=False)
    save(figure, path, kind)


def score(picture: Picture, path: Path) -> None:
    """r of each feature along the genome, and predicted against measured values, per guess."""
    kind = check_kind(path)
    names = list(picture.guesses)
    figure = canvas(11, 3.2 * len(names))
    for i, name in enumerate(names):
        wide, small = (figure.add_subplot(len(names), 4, part) for part in
                       ((4 * i + 1, 4 * i + 3), 4 * i + 4))  # fmt: skip
        _along(wide, picture, name)
        _against(small, picture.truth.ravel(), picture.guesses[name].ravel())
    save(figure, path, kind)


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
    shades = _colours(len(made.classes))
    for k, word in enumerate(made.classes):
        axis.barh(range(len(names)), shares[:, k], left=left, color=shades[k], label=word)
        left += shares[:, k]
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of cells")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    save(figure, path, kind)


def _colours(n: int) -> list[tuple[float, float, float, float]]:
    """n colours: twenty that differ well, more around the wheel."""
    import matplotlib

    if n <= 20:
        return [matplotlib.colormaps["tab20"](i) for i in range(n)]
    return [matplotlib.colormaps["nipy_spectral"]((i + 0.5) / n) for i in range(n)]


def _along(axis, picture: Picture, name: str) -> None:  # type: ignore[no-untyped-def]
    """One dot per feature, chromosomes side by side; features without a place come last."""
    r = picture.r.get(name, np.full(len(picture.chrom), np.nan))
    places, ticks = genome_positions(picture.chrom, picture.start)
    shades = np.array(["#1f5a94", "#7fa8cf"])
    order = {chrom: k for k, (chrom, _) in enumerate(ticks)}
    parity = [order.get(c if c is not None else "?", 0) % 2 for c in picture.chrom]
    axis.scatter(places, r, s=4, c=shades[parity], linewidths=0, rasterized=True)
    axis.axhline(0, color="0.6", linewidth=0.6)
    axis.set_xticks([place for _, place in ticks])
    axis.set_xticklabels([_short(chrom) for chrom, _ in ticks], fontsize=7)
    axis.set_ylabel("r per feature")
    mean = np.nanmean(r) if np.isfinite(r).any() else np.nan
    axis.set_title(f"{name}: mean r {mean:.3f} over {len(r):,} features", fontsize=9, loc="left")


def _against(axis, truth: np.ndarray, guess: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Predicted against measured, by density on a log scale."""
    low, high = float(min(truth.min(), guess.min())), float(max(truth.max(), guess.max()))
    axis.hexbin(truth, guess, gridsize=40, bins="log", mincnt=1, cmap="Blues", linewidths=0)
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.8)
    axis.set_xlabel("measured")
    axis.set_ylabel("predicted")


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


def genome_positions(
    chrom: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Where each feature stands on the x axis, and the middle of each chromosome.

    Chromosomes go in their natural order, as wide as their last feature; "?" holds features without
    a place, spread evenly.
    """
    names = np.array(["?" if c is None else str(c) for c in chrom], dtype=object)
    known = sorted(set(names.tolist()), key=_natural)
    places = np.full(len(names), np.nan)
    ticks: list[tuple[str, float]] = []
    offset = 0.0
    for name in known[:_LONGEST]:
        here = np.flatnonzero(names == name)
        inside: np.ndarray = start[here].astype(np.float64)
        if name == "?" or (inside < 0).any():
            inside = np.arange(len(here)) * 1e6
        places[here] = offset + inside
        width = float(inside.max()) + 1e7
        ticks.append((name, offset + width / 2))
        offset += width
    return places, ticks


def _natural(chrom: str) -> tuple[int, int, str]:
    """chr2 before chr10, X and Y after the numbers, the unknown last."""
    bare = chrom.removeprefix("chr")
    if chrom == "?":
        return (2, 0, "")
    return (0, int(bare), "") if bare.isdigit() else (1, 0, bare)


def _short(chrom: str) -> str:
    return "unplaced" if chrom == "?" else chrom.removeprefix("chr")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def canvas(width: float, height: float) -> "Figure":
    """A figure without a window, so that no display is needed."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MachineError(
            "--plot needs matplotlib, which is not installed", fix="pip install 'scgx[plot]'"
        ) from None
    matplotlib.rcParams["svg.hashsalt"] = "scgx"
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path, kind: str) -> None:
    """Write whole or not at all; without a date, so that equal pictures are equal files."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with streams.sink(str(path)) as dst:
        figure.savefig(dst.path, format=kind, dpi=150, metadata=metadata[kind])
