"""Principal components of the most variable features, in one pass and bounded memory.

The matrix of covariances of a few thousand features is small whatever the number of cells, so it is
summed up block by block and solved exactly; of more features, leading components are found by block
power iteration. Mean, scale and loadings are kept: components map back to features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy import linalg, sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.embedding_data import EmbeddingData
from scgx.learn.subspace import Axes, leading, signed
from scgx.progress import Report

EMBEDS = {"rna", "activity", "adt"}
FROM: set[str] = set()
TO: set[str] = set()
COMPONENT = "PC"  # what its components are called
EXACT = 4_000  # features whose covariances are held


@dataclass(frozen=True)
class Config:
    """How many components of how many features, and what is done to them first."""

    rank: int = knob(50, least=1)  # components
    features: int = 2_000  # the most variable on training rows; 0 takes all that vary
    scale: Literal["none", "unit", "z"] = "none"  # unit: rows of length 1; z: deviations of 1
    cosine: bool = False  # cells brought to length 1 in the end: distances are then angles
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where covariances are summed up; auto is cpu


class _Fit(NamedTuple):
    chosen: np.ndarray  # (p,) int64: which of the inputs
    mean: np.ndarray  # (p,) float32, of the features after `unit`
    scale: np.ndarray  # (p,) float32: deviations for z, else ones
    axes: np.ndarray  # (p, rank) float32, orthonormal columns
    variance: np.ndarray  # (rank,) float64: variance of each component on the training rows
    ratio: np.ndarray  # (rank,) float64: its share in all the variance
    unit: np.ndarray  # (1,) uint8: rows are brought to length 1
    cosine: np.ndarray  # (1,) uint8: so are components


class Model:
    """components = (x - mean) / scale @ axes"""

    def __init__(self, fit: _Fit) -> None:
        self._fit = fit
        self._slope = fit.axes.astype(np.float64) / fit.scale[:, None]

    @classmethod
    def fit(cls, data: EmbeddingData, config: Config, *, seed: int, report: Report) -> Self:
        """Covariances of the training rows, and their leading eigenvectors."""
        chosen = data.most_variable(config.features)
        rank = max(1, min(config.rank, len(chosen), len(data.train) - 1))
        unit = config.scale == "unit"
        if len(chosen) <= EXACT:
            second, total = _second_moment(data, chosen, unit=unit, device=config.device)
        else:
            second, total = None, _sums(data, chosen, unit=unit)
        n, mean = len(data.train), total.sum / len(data.train)
        variance = np.maximum(total.squares - n * mean**2, 0) / (n - 1)
        scale = np.sqrt(variance) if config.scale == "z" else np.ones(len(chosen))
        if second is not None:
            second -= n * np.outer(mean, mean)
            second /= (n - 1) * np.outer(scale, scale)
            axes = _largest(second, rank)
        else:
            times = _products(data, chosen, mean, scale, unit=unit)
            axes = leading(times, len(chosen), rank, seed=seed)
        share = axes.values / (variance / scale**2).sum()
        held = f"{share.sum():.1%} of the variance of {len(chosen):,} features"
        report.say(f"{rank} components hold {held}")
        return cls(
            _Fit(
                chosen, mean.astype(np.float32), scale.astype(np.float32),
                axes.vectors.astype(np.float32), axes.values, share,
                np.array([unit], np.uint8), np.array([config.cosine], np.uint8),
            )
        )  # fmt: skip

    def save(self) -> Mapping[str, bytes]:
        return {"pca.safetensors": pack_arrays(self._fit._asdict())}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(_Fit(**unpack_arrays(members["pca.safetensors"])))

    @property
    def explained(self) -> tuple[np.ndarray, np.ndarray]:
        """Variance of each component on the training rows (rank,), and its share in all of it."""
        return self._fit.variance, self._fit.ratio

    def loadings(self) -> tuple[np.ndarray, np.ndarray]:
        """Which inputs (p,) int64, and what each weighs in each component, float32 (p, rank)."""
        return self._fit.chosen, self._fit.axes

    def embed(self, block: CellBlock) -> np.ndarray:
        """Components float32 (n, rank); an absent feature counts as average."""
        fit = self._fit
        rows = block.x[:, fit.chosen]
        rows = unit_length(rows) if fit.unit[0] else rows
        there = fit.mean.astype(np.float64) * block.present[fit.chosen]
        made = rows @ self._slope - there @ self._slope
        if fit.cosine[0]:
            length = np.sqrt((made**2).sum(axis=1, keepdims=True))
            made /= np.where(length > 0, length, 1)
        return made.astype(np.float32)

    def features(self, components: np.ndarray) -> np.ndarray:
        """Chosen features float32 (n, p) from components (n, rank) that are no cosines."""
        fit = self._fit
        return (components @ (fit.axes.T * fit.scale) + fit.mean).astype(np.float32)


class _Sums(NamedTuple):
    sum: np.ndarray  # (p,) float64
    squares: np.ndarray


def unit_length(rows: sparse.csr_array) -> sparse.csr_array:
    """Rows of Euclidean length 1, float64; empty ones stay empty."""
    data = rows.data.astype(np.float64)
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    length = np.sqrt(np.bincount(row, weights=data**2, minlength=rows.shape[0]))
    length[length == 0] = 1
    return sparse.csr_array((data / length[row], rows.indices, rows.indptr), shape=rows.shape)


def _second_moment(
    data: EmbeddingData, chosen: np.ndarray, *, unit: bool, device: str
) -> tuple[np.ndarray, _Sums]:
    """Sum over training rows of x x^T, float64 (p, p); and of x and x^2.

    Products within a block are float32, which is twice as fast and good to six digits.
    """
    blocks = (
        (unit_length(rows) if unit else rows).toarray().astype(np.float32, copy=False)
        for rows in data.blocks(chosen)
    )
    total = np.zeros(len(chosen))
    if device == "cuda":
        from scgx.models import _pca_torch

        second, total = _pca_torch.second_moment(blocks, len(chosen), device)
    else:
        second = np.zeros((len(chosen), len(chosen)))
        for block in blocks:
            second += block.T @ block
            total += block.sum(axis=0, dtype=np.float64)
    return second, _Sums(total, np.diag(second).copy())


def _sums(data: EmbeddingData, chosen: np.ndarray, *, unit: bool) -> _Sums:
    total, squares = np.zeros(len(chosen)), np.zeros(len(chosen))
    for rows in data.blocks(chosen):
        rows = unit_length(rows) if unit else rows
        values = rows.data.astype(np.float64)
        total += np.bincount(rows.indices, weights=values, minlength=len(chosen))
        squares += np.bincount(rows.indices, weights=values**2, minlength=len(chosen))
    return _Sums(total, squares)


def _largest(covariance: np.ndarray, rank: int) -> Axes:
    size = len(covariance)
    values, vectors = linalg.eigh(covariance, subset_by_index=[size - rank, size - 1])
    return Axes(np.maximum(values[::-1], 0), signed(vectors[:, ::-1]))


def _products(
    data: EmbeddingData, chosen: np.ndarray, mean: np.ndarray, scale: np.ndarray, *, unit: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """The covariance of the scaled features times a matrix (p, width), in one pass."""
    n = len(data.train)

    def times(v: np.ndarray) -> np.ndarray:
        slope = v / scale[:, None]
        found = np.zeros(v.shape)
        for rows in data.blocks(chosen):
            rows = unit_length(rows) if unit else rows.astype(np.float64)
            found += rows.T @ (rows @ slope)
        return (found - n * np.outer(mean, mean @ slope)) / scale[:, None] / (n - 1)

    return times
