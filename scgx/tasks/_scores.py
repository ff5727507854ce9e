"""What a task hands to whoever prints it: entries, protocols, tables per level, verdicts."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from scgx.tasks._evaluate import Results

GUESS, BASELINE, CONTROL = "guess", "baseline", "control"
ORACLE, CEILING = "oracle", "ceiling"


@dataclass(frozen=True)
class Protocol:
    """All that a number depends on; numbers with different digests do not belong in one table."""

    id: str
    definition: str
    direction: str
    task: str
    modality: str
    layer: str
    units: str
    normalisation: str
    features: str
    features_digest: str
    ties: str = "mid-ranks"
    degenerate: str = "no variance on either side: correlation 0, counted"
    not_covered: str = "scored with the mean of the training rows"
    version: int = 1

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything above."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Entry:
    """One column of the score table."""

    name: str
    kind: str
    results: Results
    coverage: float = 1.0


class Spread(NamedTuple):
    """A replicate's mean over seeds and its standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Level:
    """The scores of one level of a column of obs: values by entry, then by metric."""

    column: str
    level: str
    n: int
    values: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Verdict:
    """A guess against the strongest baseline in the headline: paired difference and interval."""

    guess: str
    baseline: str | None
    difference: float | None
    interval: tuple[float, float] | None
    sentence: str


@dataclass(frozen=True)
class Picture:
    """What the plot draws: r per feature along the genome, and a sample of values."""

    features: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    r: dict[str, np.ndarray]
    truth: np.ndarray
    guesses: dict[str, np.ndarray]


@dataclass(frozen=True)
class Extra:
    """A table that only one task has: of one guess, rows of words and numbers."""

    name: str
    guess: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    aside: bool = False  # long: for files and programs, and not printed


@dataclass(frozen=True)
class Confusion:
    """What the plot of labels draws, by guess.

    `matrices`: cells by true class (rows) and guessed class (columns). `reliability` (3, bins): cells,
    mean confidence and accuracy. `risk` (2, points): coverage and error, the surest cells first;
    `area` is that under it.
    """

    classes: tuple[str, ...]
    matrices: dict[str, np.ndarray]
    reliability: dict[str, np.ndarray]
    risk: dict[str, np.ndarray]
    area: dict[str, float]


@dataclass(frozen=True)
class MadeCells:
    """What the plot of synthetic cells draws, by name of who made them.

    `real` and `points` (cells, 3): two components and the code of the class. `genes` (2, genes): means
    in real and in made cells. `bars`: a number for each of `keys`.
    """

    classes: tuple[str, ...]
    real: np.ndarray
    points: dict[str, np.ndarray]
    genes: dict[str, np.ndarray]
    keys: tuple[str, ...]
    bars: dict[str, list[float]]


@dataclass(frozen=True)
class Responses:
    """What the plot of responses draws.

    `r` (perturbations,) by name of who answers, in the order of `labels`; `truth` and `guesses` are
    changes of genes, the same ones.
    """

    labels: tuple[str, ...]
    r: dict[str, np.ndarray]
    truth: np.ndarray
    guesses: dict[str, np.ndarray]


@dataclass(frozen=True)
class Scores:
    """Everything that a run of `score` found."""

    task: str
    truth: str
    headline: str
    modality: str
    units: str
    normalisation: str
    n_cells: int
    n_features: int
    bootstrap: str
    groups: tuple[str, ...]
    left_out: int
    seed: int
    entries: tuple[Entry, ...]
    replicate: dict[str, Spread]
    protocols: dict[str, Protocol]
    levels: tuple[Level, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    picture: Picture | Confusion | MadeCells | Responses | None = None
    extras: tuple[Extra, ...] = ()
    what: str = "features"  # that there are `n_features` of

    def of(self, *kinds: str) -> tuple[Entry, ...]:
        """Entries of these kinds."""
        return tuple(entry for entry in self.entries if entry.kind in kinds)

    def best_baseline(self, metric: str) -> Entry | None:
        """The strongest baseline of a metric (controls, oracles and ceilings are none)."""
        return strongest(self.of(BASELINE), metric, self.protocols[metric].direction)

    def scaled(self, entry: Entry, metric: str) -> tuple[float | None, str]:
        """0 at the best baseline, 1 at the replicate; or None and why."""
        value, best = entry.results[metric].value, self.best_baseline(metric)
        ceiling = self.replicate.get(metric)
        if best is None and self.of(BASELINE):
            return None, "not scaled"
        if best is None:
            return None, "no baseline"
        if ceiling is None:
            return None, "no ceiling"
        base = best.results[metric].value
        if value is None or base is None:
            return None, "not defined"
        direction = self.protocols[metric].direction
        bottom = goodness(base, direction)
        reach = goodness(ceiling.mean, direction) - bottom
        if abs(reach) < 1e-12:
            return None, "no range"
        if reach < 0:
            return None, "ceiling below baseline"
        return (goodness(value, direction) - bottom) / reach, ""


def strongest(entries: Iterable[Entry], metric: str, direction: str) -> Entry | None:
    """The entry with the best value of a metric, the first of equals; None where none has one."""
    known = [(e.results[metric].value, e) for e in entries if metric in e.results]
    best: Entry | None = None
    top = 0.0
    for value, entry in known:
        if value is not None and (best is None or goodness(value, direction) > top):
            best, top = entry, goodness(value, direction)
    return best


def goodness(value: float, direction: str) -> float:
    """The more the better, for a direction: higher, lower, or near a number."""
    if direction.startswith("near "):
        return -abs(value - float(direction.removeprefix("near ")))
    return value if direction == "higher" else -value
