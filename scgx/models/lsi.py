"""Latent semantic indexing of chromatin: TF-IDF, rows of length 1, and their leading axes.

Peaks are open or not and mostly not, so rare ones weigh more (log(1 + n / cells)) and every cell has
length 1; what is left of depth lies in the first component, which can be dropped. Nothing is centred
and nothing held but a few vectors: each of some passes over the cells sharpens the axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.embedding_data import EmbeddingData
from scgx.learn.lsi import Lsi, unit_rows
from scgx.learn.subspace import leading
from scgx.progress import Report

EMBEDS = {"atac"}
FROM: set[str] = set()
TO: set[str] = set()
COMPONENT = "LSI"  # what its components are called


@dataclass(frozen=True)
class Config:
    """How many components of which peaks, and whether the first of them counts."""

    rank: int = knob(50, least=1)  # components
    features: int = 0  # the most variable on training rows; 0 takes all that vary
    drop_first: bool = False  # leave out the first component, which follows depth


class Model:
    """components = unit(x * idf) @ axes"""

    def __init__(self, lsi: Lsi, variance: np.ndarray, ratio: np.ndarray) -> None:
        self._lsi = lsi
        self._variance = variance
        self._ratio = ratio

    @classmethod
    def fit(cls, data: EmbeddingData, config: Config, *, seed: int, report: Report) -> Self:
        """Weights of the peaks, then block power iteration on unit rows."""
        moments, width = data.moments, len(data.inputs)
        chosen = data.most_variable(config.features)
        weight = np.zeros(width, np.float32)
        weight[chosen] = np.log1p(moments.n / moments.cells[chosen])

        def times(v: np.ndarray) -> np.ndarray:
            found, v = np.zeros(v.shape), v.astype(np.float32)
            for block in data.blocks():
                rows = unit_rows(block, weight)
                found += rows.T @ (rows @ v)
            return found

        first = int(config.drop_first)
        axes = leading(times, width, config.rank + first, seed=seed)
        values = axes.values[first:] / moments.n
        report.say(f"{len(values)} components hold {values.sum():.1%} of the length of unit rows")
        kept = np.ascontiguousarray(axes.vectors[:, first:], np.float32)
        lsi = Lsi(weight, np.zeros(width, np.float32), kept, np.array([1], np.uint8))
        return cls(lsi, values, values)

    def save(self) -> Mapping[str, bytes]:
        about = {"variance": self._variance, "ratio": self._ratio}
        return {"lsi.safetensors": pack_arrays(self._lsi._asdict() | about)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        arrays = unpack_arrays(members["lsi.safetensors"])
        variance, ratio = arrays.pop("variance"), arrays.pop("ratio")
        return cls(Lsi(**arrays), variance, ratio)

    @property
    def explained(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean square of each component on the training rows (rank,); rows have length 1."""
        return self._variance, self._ratio

    def loadings(self) -> tuple[np.ndarray, np.ndarray]:
        """Which inputs (p,) int64, and what each weighs in each component, float32 (p, rank)."""
        chosen = np.flatnonzero(self._lsi.weight > 0)
        return chosen, self._lsi.axes[chosen]

    def embed(self, block: CellBlock) -> np.ndarray:
        """Components float32 (n, rank); a cell without any known peak is at 0."""
        return self._lsi.transform(block.x)
