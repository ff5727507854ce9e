"""Independent negative binomials: every gene of every class by itself, at the depth of a real cell.

The simplest generator that is fair to single genes: means, variances and zeros of a class are right,
and nothing that genes do together is. What a better generator earns is seen beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.conditions import group_of, groups
from scgx.learn.config import knob
from scgx.learn.draws import negative_binomial
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library
from scgx.learn.marginals import Marginals, moments
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
GENERATES = {"rna", "activity", "adt"}


@dataclass(frozen=True)
class Config:
    """How far small groups lean on the others."""

    least: int = knob(25, least=1)  # cells of a combination of conditions that stands alone
    lean: float = knob(20.0, least=0)  # cells that the dispersion of all classes counts for


class Model:
    """Marginals of every group, and how deep its cells are."""

    def __init__(self, own: np.ndarray, marginals: Marginals, library: Library) -> None:
        self.own = own  # combinations that are groups by themselves, int64 (g, columns)
        self.marginals = marginals
        self.library = library

    @classmethod
    def fit(cls, data: GenerativeData, config: Config, *, seed: int, report: Report) -> Self:
        """Moments of the training rows, in one pass."""
        own = groups(data.conditions, config.least)
        marginals, library = moments(data, own, lean=config.lean)
        return cls(own, marginals, library)

    def save(self) -> Mapping[str, bytes]:
        arrays = {"own": self.own, **self.marginals._asdict(), **self.library._asdict()}
        return {"marginals.safetensors": pack_arrays(arrays)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["marginals.safetensors"])
        marginals = Marginals(found["share"], found["dispersion"])
        return cls(found["own"], marginals, Library(found["totals"], found["ends"]))

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """Counts, gene by gene."""
        group = group_of(self.own, codes, len(self.marginals.share) - len(self.own))
        depth = self.library.draw(group, rng) if library is None else library
        mean = self.marginals.share[group] * depth[:, None]
        return negative_binomial(mean, self.marginals.dispersion[group], rng)
