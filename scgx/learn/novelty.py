"""How unlike its class is a cell? For types that the model never saw, which probability does not tell.

A classifier shares its belief out among the classes it has, so a monocyte that meets a model of
lymphocytes and dendritic cells is a dendritic cell, and surely. Its counts say otherwise: they are far
from those of dendritic cells. So two things are put together: the odds against the class that a cell
is called, and the mean squared Pearson residual (negative binomial, dispersion 1/10) of its counts from
the mean profile of that class at the cell's depth. Each is measured in deviations of the validation
cells, and they are added. Chosen by leaving out classes within a study (docs/decisions/classifiers.md).

Counts come back from the log values: the smallest value of a cell is a count of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError, InputError

THETA = 10.0  # 1 / dispersion
SMOOTH = 0.02  # of the overall profile in that of each class: rare classes have seen few genes
FLOOR = 1e-6  # no share and no probability counts as smaller
ROWS = 128
LEAST = np.array([1.0, 0.05])  # deviations, where nearly all validation cells are alike
FEWEST = 20  # validation cells; fewer say nothing of what is usual
KEYS = ("novelty_share", "novelty_scale", "novelty_usual")


@dataclass(frozen=True)
class Novelty:
    """Mean shares of counts (classes, inputs), float32, and what is usual for validation cells.

    `scale` (2, 2) float64: median and deviation of the log odds, and of the log residual. `usual` is
    the novelty of the validation cells, sorted, float32.
    """

    share: np.ndarray
    scale: np.ndarray
    usual: np.ndarray

    @classmethod
    def restore(
        cls, summary: Mapping[str, np.ndarray], shape: tuple[int, int], name: str
    ) -> Novelty | None:
        """From the summary of an artifact; None where it has none, InputError where it does not fit."""
        if not all(key in summary for key in KEYS):
            return None
        share, scale, usual = (summary[key] for key in KEYS)
        if share.shape != shape or scale.shape != (2, 2):
            raise InputError(
                "its novelty does not fit its features", fix="train it again", file=name
            )
        return cls(share, scale, usual)

    def save(self) -> dict[str, np.ndarray]:
        """Arrays for the summary of an artifact."""
        return dict(zip(KEYS, (self.share, self.scale, self.usual), strict=True))

    def of(self, x: sparse.csr_array, probability: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Novelty float32 (n,) of log values x (n, inputs) with their probabilities (n, classes).

        0 is as usual as validation cells are; `present` (inputs,) were measured.
        """
        two = _two(x, probability, self.share, present)
        made: np.ndarray = ((two - self.scale[0]) / self.scale[1]).sum(axis=1)
        return made.astype(np.float32)

    def bar(self, share: float, name: str) -> float:
        """The novelty that this share of validation cells does not exceed."""
        if share * len(self.usual) > len(self.usual) - 1:
            most = np.floor(1000 * (1 - 1 / len(self.usual))) / 1000
            raise DataError(
                f"{len(self.usual):,} validation cells cannot show what {share:g} of them have",
                fix=f"--reject-novel {most:g} is the most",
                file=name,
            )
        return float(np.quantile(self.usual, share))


def fit(
    train: Iterable[tuple[sparse.csr_array, np.ndarray]],
    val: Iterable[tuple[sparse.csr_array, np.ndarray]],
    shape: tuple[int, int],
) -> Novelty | None:
    """Profiles from training cells (x, codes), what is usual from validation cells (x, probability).

    `shape` is (classes, inputs). None for fewer than 20 validation cells.
    """
    share = _profiles(train, shape)
    present = np.ones(shape[1], dtype=bool)
    parts = [_two(x, probability, share, present) for x, probability in val]
    two = np.concatenate([np.zeros((0, 2)), *parts])
    if len(two) < FEWEST:
        return None
    middle, above = np.quantile(two, [0.5, 0.84], axis=0)
    scale = np.stack([middle, np.maximum(above - middle, LEAST)])
    usual = np.sort(((two - scale[0]) / scale[1]).sum(axis=1)).astype(np.float32)
    return Novelty(share, scale, usual)


def _profiles(
    train: Iterable[tuple[sparse.csr_array, np.ndarray]], shape: tuple[int, int]
) -> np.ndarray:
    """The mean share of each input in the counts of a cell, by class, float32 (classes, inputs)."""
    total, cells = np.zeros(shape), np.zeros(shape[0])
    for x, codes in train:
        counts = counts_of(x)
        depth = np.asarray(counts.sum(axis=1)).ravel()
        counts.data /= np.repeat(np.where(depth > 0, depth, 1), np.diff(counts.indptr))
        member = sparse.csr_array(
            (np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(shape[0], len(codes))
        )
        total += (member @ counts).toarray()
        cells += np.bincount(codes, minlength=shape[0])
    overall = total.sum(axis=0) / max(cells.sum(), 1)
    share = (1 - SMOOTH) * total / np.maximum(cells, 1)[:, None] + SMOOTH * overall + FLOOR
    made: np.ndarray = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return made


def counts_of(x: sparse.csr_array) -> sparse.csr_array:
    """Counts float64 from log1p values x (n, inputs): the smallest of each cell is 1."""
    linear = np.expm1(x.data.astype(np.float64))
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    least = np.full(x.shape[0], np.inf)
    seen = linear > 0
    np.minimum.at(least, rows[seen], linear[seen])
    return sparse.csr_array(
        (np.where(seen, linear, 0) / least[rows], x.indices, x.indptr), shape=x.shape
    )


def _two(
    x: sparse.csr_array, probability: np.ndarray, share: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Log odds against the likeliest class, and log residual from its profile, float64 (n, 2)."""
    called = probability.argmax(axis=1)
    against = np.clip(1 - probability.max(axis=1).astype(np.float64), FLOOR, 1 - FLOOR)
    counts = counts_of(x)
    known = np.where(present, share, np.float32(0))
    known = known / np.maximum(known.sum(axis=1, keepdims=True, dtype=np.float64), FLOOR)
    known = known.astype(np.float32)
    squares = np.empty(len(called))
    for start in range(0, len(called), ROWS):
        part = slice(start, min(start + ROWS, len(called)))
        squares[part] = _squares(counts[part], known[called[part]])
    residual = squares / max(int(present.sum()), 1)
    return np.stack([np.log(against / (1 - against)), np.log(np.maximum(residual, FLOOR))], axis=1)


def _squares(counts: sparse.csr_array, expected: np.ndarray) -> np.ndarray:
    """Summed squares of Pearson residuals (n,) of counts (n, inputs); `expected` shares are used up."""
    seen = counts.toarray().astype(np.float32)
    expected *= seen.sum(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    seen -= expected
    np.square(seen, out=seen)
    expected += np.square(expected) / np.float32(THETA) + np.float32(0.01)
    seen /= expected
    return seen.sum(axis=1, dtype=np.float64)
