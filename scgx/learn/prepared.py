"""What a network is fed: the state of a cell, its covariates, what is near each gene, the target.

The state is small and made once; targets and windows are made batch by batch, in the thread of the
loader or on the way out of it, so that nothing of cells x genes is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.data import TrainingData
from scgx.learn.loadings import Loadings
from scgx.learn.residual import deviations
from scgx.learn.selection import judges
from scgx.learn.shares import WHOLE, Share
from scgx.learn.windows import Gathered, gather


class Fed(NamedTuple):
    """One batch: state (n, s) and truth (n, n_out) float32, codes (n, c) int64."""

    rows: np.ndarray
    state: np.ndarray
    codes: np.ndarray
    truth: np.ndarray
    weight: np.ndarray | None
    near: Gathered | None


@dataclass(frozen=True)
class Near:
    """How windows are gathered: a basis (see `windows.basis`), its bins, and at most how many."""

    basis: sparse.csr_array
    bins: int
    most: int


class Prepared:
    """TrainingData for the torch loop; `name` says which settings made the state."""

    def __init__(
        self,
        data: TrainingData,
        loadings: Loadings,
        state: tuple[np.ndarray, np.ndarray],
        *,
        name: str,
        seed: int,
        near: Near | None = None,
    ) -> None:
        """`state` is (state, codes) of the rows of train, then val.

        Without validation rows a fifth of the training rows, by group, is kept to stop at.
        """
        self.data, self.loadings, self.near = data, loadings, near
        self.train, self.val = judges(data, seed=seed)
        self.state, self.codes = state
        self._name = name
        rows = np.concatenate([data.train, data.val])
        self._place = np.zeros(int(rows.max(initial=0)) + 1, np.int64)
        self._place[rows] = np.arange(len(rows))

    def fingerprint(self) -> str:
        """A name for the data and for what was made of it."""
        return f"{self.data.fingerprint()} {self._name}"

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: Share = WHOLE,
    ) -> Iterator[Fed]:
        """Batches of `size` rows; while shuffling, at most `near.most` windows of each are kept."""
        found = self.data.batches(rows, size, seed=seed, epoch=epoch, shuffle=shuffle, share=share)
        for number, batch in enumerate(found):
            place = self._place[batch.rows]
            near = None
            if self.near is not None:
                near = gather(batch.x, self.near.basis, self.near.bins)
                if shuffle:
                    rng = np.random.default_rng([seed, epoch, number])
                    near = _some(near, self.near.most, rng, share)
            truth = deviations(batch.y, self.loadings)
            yield Fed(batch.rows, self.state[place], self.codes[place], truth, batch.weight, near)


def _some(near: Gathered, most: int, rng: np.random.Generator, share: Share) -> Gathered:
    """At most so many windows of a batch: the others are left out once, as dropout does."""
    own = len(near.cell)
    before, total = share.among(own)
    if total <= most:
        return near
    kept = np.sort(rng.choice(total, most, replace=False)) - before
    kept = kept[(kept >= 0) & (kept < own)]
    return Gathered(near.cell[kept], near.gene[kept], near.values[kept])


class Standard(NamedTuple):
    """Centre and scale (s,) that bring numbers per cell to mean 0 and deviation 1, float32."""

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, raw: np.ndarray, *, together: int = 0) -> Self:
        """From training rows (n, s); a column that does not vary becomes 0.

        The first `together` columns keep their sizes relative to each other: where size is signal,
        bringing each to deviation 1 would blow up the noise of the small ones.
        """
        deviation = raw.std(axis=0, dtype=np.float64)
        if together:
            deviation[:together] = deviation[:together].mean()
        flat = deviation <= 1e-6 * (1 + np.abs(raw).max(axis=0, initial=0))
        scale = np.where(flat, 0, 1 / np.where(flat, 1, deviation))
        return cls(raw.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32))

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Standardised rows, float32 (n, s)."""
        return ((raw - self.centre) * self.scale).astype(np.float32)


def with_depth(components: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Components (n, s) and log depth as one table (n, s + 1): unit-length rows have lost it."""
    return np.column_stack([components, np.log1p(totals)]).astype(np.float32)
