"""A Gaussian copula for each class: genes with negative binomial margins that rise and fall together.

As in scDesign2, a count becomes the quantile at which it stands in its margin, the quantile a normal
number, and the correlations of those are what genes do together. With few cells they are mostly noise;
so each class leans on the correlation within all classes, the more the fewer cells it has, and of
either only the strongest axes are kept, and what they leave of each gene's variance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import linalg, sparse, special, stats

from scgx.errors import DataError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.conditions import group_of, groups
from scgx.learn.config import knob
from scgx.learn.draws import at_quantiles
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library
from scgx.learn.marginals import Marginals, moments
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
GENERATES = {"rna", "activity", "adt"}


@dataclass(frozen=True)
class Config:
    """How far small groups lean on the others, and how many axes genes share."""

    least: int = knob(25, least=1)  # cells of a combination of conditions that stands alone
    lean: float = knob(20.0, least=0)  # cells that the dispersion of all classes counts for
    rank: int = knob(30, least=1)  # axes of a class, and of all classes together


class Model:
    """Marginals of every group, the axes of every class, and how deep cells are."""

    def __init__(
        self, own: np.ndarray, marginals: Marginals, library: Library, loadings: np.ndarray
    ) -> None:
        self.own = own  # combinations that are groups by themselves, int64 (g, columns)
        self.marginals, self.library = marginals, library
        self.loadings = loadings  # float32 (labels, features, axes): what genes share
        shared = np.square(loadings, dtype=np.float64).sum(axis=2)
        self.alone = np.sqrt(1 - shared).astype(np.float32)  # (labels, features)

    @classmethod
    def fit(cls, data: GenerativeData, config: Config, *, seed: int, report: Report) -> Self:
        """Moments in one pass over the training rows, correlations in another; class after class."""
        width, labels = len(data.columns), data.conditions.sizes[0]
        if 24 * width**2 > data.memory:
            most = int((data.memory / 24) ** 0.5)
            raise DataError(
                f"correlations of {width:,} features do not fit in --memory",
                fix=f"--features {most}, or more --memory",
            )
        own = groups(data.conditions, config.least)
        marginals, library = moments(data, own, lean=config.lean)
        every = np.zeros((width, width), np.float32)
        found = []
        label = data.codes(data.train)[:, 0]
        for one in range(labels):
            rows = data.train[label == one]
            total = np.zeros((width, width), np.float32)
            for z in _normal(data, rows, own, marginals):
                total += z.T @ z
            every += total
            found.append((_axes(_correlation(total), config.rank), _doubt(total, len(rows))))
        pooled = _axes(_correlation(every), config.rank)
        parts = [
            np.hstack([np.sqrt(1 - doubt) * axes, np.sqrt(doubt) * pooled]) for axes, doubt in found
        ]
        return cls(own, marginals, library, np.stack(parts).astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        arrays = {"own": self.own, **self.marginals._asdict(), **self.library._asdict()}
        return {
            "marginals.safetensors": pack_arrays(arrays),
            "axes.safetensors": pack_arrays({"loadings": self.loadings}),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["marginals.safetensors"])
        marginals = Marginals(found["share"], found["dispersion"])
        library = Library(found["totals"], found["ends"])
        return cls(
            found["own"], marginals, library, unpack_arrays(members["axes.safetensors"])["loadings"]
        )

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """Normal numbers that are correlated as the class is, as quantiles of its margins."""
        label = codes[:, 0]
        group = group_of(self.own, codes, len(self.loadings))
        depth = self.library.draw(group, rng) if library is None else library
        axes = rng.standard_normal((len(codes), self.loadings.shape[2]), np.float32)
        z = rng.standard_normal((len(codes), self.loadings.shape[1]), np.float32)
        z *= self.alone[label]
        for one in np.unique(label):
            mine = label == one
            z[mine] += axes[mine] @ self.loadings[one].T
        mean = self.marginals.share[group] * depth[:, None]
        return at_quantiles(mean, self.marginals.dispersion[group], special.ndtr(z))


def _normal(
    data: GenerativeData, rows: np.ndarray, own: np.ndarray, marginals: Marginals
) -> Iterator[np.ndarray]:
    """The counts of some rows as normal numbers, float32 (n, features), some hundred at a time.

    A count is the middle of the quantiles that it takes: the mid-distribution, which needs no chance.
    """
    labels = data.conditions.sizes[0]
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        x = data.x(some).toarray()
        group = group_of(own, data.codes(some), labels)
        mean = marginals.share[group] * x.sum(axis=1, dtype=np.float64)[:, None]
        size = 1 / np.maximum(marginals.dispersion[group].astype(np.float64), 1e-6)
        chance = size / (size + mean)
        upto = stats.nbinom.cdf(x, size, chance)
        middle = upto - stats.nbinom.pmf(x, size, chance) / 2
        yield special.ndtri(np.clip(middle, 1e-6, 1 - 1e-6)).astype(np.float32)


def _correlation(total: np.ndarray) -> np.ndarray:
    """Cross products as correlations about zero; a gene that does not vary has none."""
    size = np.sqrt(np.maximum(np.diag(total), 1e-12))
    made = total / size[:, None] / size[None, :]
    np.fill_diagonal(made, 1)
    return made


def _doubt(total: np.ndarray, n: int) -> float:
    """The share of a class's correlations that is noise: their variance over their mean square."""
    squares = _correlation(total) ** 2
    away = squares.sum() - len(squares)
    noise = (len(squares) ** 2 - len(squares)) / max(n, 1)
    return float(np.clip(noise / max(away, 1e-12), 0, 1))


def _axes(correlation: np.ndarray, rank: int) -> np.ndarray:
    """Loadings (features, rank): the largest eigenvalues above the mean of the others; a gene keeps a
    tenth of its variance to itself at least.
    """
    width = len(correlation)
    rank = min(rank, width - 1)
    if rank < 1:
        return np.zeros((width, 1))
    values, vectors = linalg.eigh(correlation, subset_by_index=(width - rank, width - 1))
    rest = (width - values.sum()) / (width - rank)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    loadings = vectors * np.sqrt(np.maximum(values - rest, 0))
    shared = (loadings**2).sum(axis=1, keepdims=True)
    return loadings * np.sqrt(np.minimum(1, 0.9 / np.maximum(shared, 1e-12)))
