"""Predicted values: r along the genome, and predicted against measured."""

from pathlib import Path
from typing import Protocol

import numpy as np

from scgx.plots.canvas import canvas, check_kind, save

_LONGEST = 40  # beyond so many chromosomes the rest is left out (scaffolds)


class Picture(Protocol):
    """What a score plot shows; `scgx.tasks._scores.Picture` is one."""

    chrom: np.ndarray
    start: np.ndarray
    r: dict[str, np.ndarray]
    truth: np.ndarray
    guesses: dict[str, np.ndarray]


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
