"""Are made cells like real ones: pairs of equal size, drawn a few times, through any metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._sets import FEWEST, CellSet, Design, Pair
from scgx.tasks._evaluate import metric
from scgx.tasks._sampled import draw, matched
from scgx.tasks._scores import Extra, Spread

Array = np.ndarray

LIKENESS = (
    "rf_auroc", "energy", "mmd2", "mean_r", "var_r", "zero_r", "libsize_ks", "corr_diff",
    "de_slope", "de_spearman", "marker_overlap",
)  # fmt: skip
MEMORISATION = ("dcr_ratio", "dcr_share", "dup_rate", "mia_auroc")
WITHIN = ("energy", "mmd2", "mean_r", "var_r", "zero_r", "libsize_ks", "corr_diff")
SLOW = ("rf_auroc",)  # one draw of cells is enough
DRAWS = 3
MOST = 4_000  # cells on a side: distances and forests of more say no more


@dataclass(frozen=True, eq=False)
class Bench:
    """Real cells that made ones are held against: test rows, and other real cells for the ceiling."""

    design: Design
    real: CellSet
    other: CellSet
    classes: tuple[str, ...]
    halves: bool  # the ceiling is half of the test rows against the other half
    seed: int

    def pairs(self, fake: CellSet) -> Iterator[Pair]:
        """Draws of real and made cells, so many of either per class."""
        every = np.full(len(self.classes), len(self.real), dtype=np.int64)
        sizes = matched(every, self.real, fake, most=MOST)
        for turn in range(DRAWS):
            rng = np.random.default_rng([self.seed, turn])
            real, made = draw(self.real, sizes, rng), draw(fake, sizes, rng)
            yield Pair(real, made, draw(self.design.train, sizes, rng))

    def ceiling(self) -> Iterator[Pair]:
        """The same of real cells and other real cells."""
        if not self.halves:
            yield from self.pairs(self.other)
            return
        for turn in range(DRAWS):
            rng = np.random.default_rng([self.seed, turn])
            shuffled = rng.permutation(len(self.real))
            ordered = shuffled[np.argsort(self.real.codes[shuffled], kind="stable")]
            left, right = self.real.take(ordered[0::2]), self.real.take(ordered[1::2])
            every = np.full(len(self.classes), len(self.real), dtype=np.int64)
            sizes = matched(every, left, right, most=MOST)
            sides = (draw(side, sizes, rng) for side in (left, right, self.design.train))
            yield Pair(*sides)


def keys(name: str) -> list[str]:
    """Ids of the results of a metric: one, or one per variant."""
    variants = getattr(metric(name), "variants", ())
    return [f"{name}@{variant}" for variant in variants] or [name]


def results(design: Design, pairs: Iterator[Pair], names: Sequence[str]) -> dict[str, Result]:
    """Every metric on every draw of cells."""
    made = {name: metric(name)(design) for name in names}
    for turn, pair in enumerate(pairs):
        for name, one in made.items():
            if turn == 0 or name not in SLOW:
                one.update(pair)
    found = {}
    for name, one in made.items():
        for variant in getattr(one, "variants", ()):
            found[f"{name}@{variant}"] = one.result(variant)
        if not getattr(one, "variants", ()):
            found[name] = one.result()
    return found


def ceiling(bench: Bench) -> dict[str, Spread]:
    """Real against real: the mean over draws of cells, and the deviation between them."""
    names = (*LIKENESS, *MEMORISATION)
    found: dict[str, list[float]] = {}
    for turn, pair in enumerate(bench.ceiling()):
        asked = [name for name in names if turn == 0 or name not in SLOW]
        for key, result in results(bench.design, iter([pair]), asked).items():
            if result.value is not None:
                found.setdefault(key, []).append(result.value)
    return {key: Spread(float(np.mean(each)), float(np.std(each))) for key, each in found.items()}


def per_class(bench: Bench, shown: Mapping[str, CellSet], guess: str) -> Extra:
    """What can be said of one class at a time, for a guess and what stands beside it."""
    rows: list[tuple[object, ...]] = []
    names = list(shown)
    every: dict[str, dict[int, dict[str, float | None]]] = {name: {} for name in (*names, "real")}
    for name in (*names, "real"):
        pairs = list(bench.ceiling() if name == "real" else bench.pairs(shown[name]))
        for code in range(len(bench.classes)):
            inside = [_of_class(pair, code) for pair in pairs]
            if len(inside[0].real) >= FEWEST:
                found = results(bench.design, iter(inside), WITHIN)
                every[name][code] = {key: found[key].value for key in found}
    for code in sorted(every[guess]):
        for key in every[guess][code]:
            values = [every[name].get(code, {}).get(key) for name in (*names, "real")]
            n = int((bench.real.codes == code).sum())
            rows.append((bench.classes[code], n, key, *values))
    columns = ("class", "cells", "metric", *names, "real")
    return Extra(
        f"within classes of {FEWEST} cells or more", guess, columns, tuple(rows), aside=True
    )


def _of_class(pair: Pair, code: int) -> Pair:
    return Pair(*(side.take(np.flatnonzero(side.codes == code)) for side in pair))
