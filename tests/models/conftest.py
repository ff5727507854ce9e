"""Small paired cells in memory, shaped as `learn.data.TrainingData` is, with signal to find."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad.features import Features
from scgx.h5ad.frame import Frame, categorical
from scgx.learn.block import CellBlock
from scgx.learn.data import Batch
from scgx.learn.order import plan
from scgx.learn.shares import WHOLE, Share, chunks


@dataclass(frozen=True)
class Paired:
    """Cells of six batches and four types; 0..3 train, 4 val, 5 test."""

    inputs: Features
    outputs: Features
    obs: Frame
    values: sparse.csr_array
    targets: sparse.csr_array
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    groups: np.ndarray | None
    memory: int = 1 << 30
    na: float | None = None
    weights: np.ndarray | None = None
    source: Any = field(default=None)

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        return self.values[rows]

    def y(self, rows: np.ndarray) -> sparse.csr_array:
        return self.targets[rows]

    def totals(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[rows].sum(axis=1), np.float64).ravel()

    def weight(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.weights is None else self.weights[rows]

    def fingerprint(self) -> str:
        return f"{self.values.sum():.6f} {self.targets.sum():.6f}"

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        for chunk, cuts in chunks(plan(rows, seed, epoch, shuffle=shuffle), size, share=share):
            for part in (chunk[cut] for cut in cuts):
                yield Batch(part, self.x(part), self.y(part), self.weight(part))

    def block(self, rows: np.ndarray) -> CellBlock:
        present = np.ones(len(self.inputs), bool)
        return CellBlock(self.x(rows), self.obs.take(rows), self.totals(rows), present)

    def turned(self) -> "Paired":
        return self.but(
            inputs=self.outputs, outputs=self.inputs, values=self.targets, targets=self.values
        )

    def but(self, **changes: Any) -> "Paired":
        return replace(self, **changes)


def _features(n: int, modality: str) -> Features:
    names = np.array([f"{modality}{i}" for i in range(n)], object)
    place = np.arange(n, dtype=np.int64) * 10_000
    chrom, strand = np.full(n, "chr1", object), np.full(n, "+", object)
    return Features(names, modality, chrom, place, place + 500, strand, place)


def _values(rng: np.random.Generator, state: np.ndarray, n: int, modality: str) -> np.ndarray:
    logit = state @ rng.normal(size=(state.shape[1], n))
    if modality == "atac":
        return rng.random(logit.shape) < 1 / (1 + np.exp(2.5 - logit))
    if modality == "adt":
        return logit + rng.normal(size=logit.shape)
    counts = rng.poisson(np.exp(0.7 * logit))
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def make_paired(source: str = "atac", target: str = "rna", *, seed: int = 0) -> Paired:
    """300 cells whose two modalities share a state of three numbers."""
    rng = np.random.default_rng(seed)
    n, n_in, n_out = 300, 160, 40
    kind = rng.integers(4, size=n)
    state = rng.normal(size=(4, 3))[kind] + 0.5 * rng.normal(size=(n, 3))
    batch = np.array([f"b{i}" for i in np.arange(n) % 6], object)
    cell_type = np.array(["A", "B", "C", "D"], object)[kind]
    obs = Frame(
        np.array([f"cell{i}" for i in range(n)], object),
        {"batch": categorical(batch), "cell_type": categorical(cell_type)},
    )
    which = np.arange(n) % 6
    x, y = (
        sparse.csr_array(_values(rng, state, width, modality).astype(np.float32))
        for width, modality in ((n_in, source), (n_out, target))
    )
    rows = (np.flatnonzero(which < 4), np.flatnonzero(which == 4), np.flatnonzero(which == 5))
    return Paired(_features(n_in, source), _features(n_out, target), obs, x, y, *rows, batch)


@pytest.fixture
def paired() -> Any:
    """The maker of small paired cells."""
    return make_paired
