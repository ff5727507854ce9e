"""Ridge regression on LSI components: the linear baseline.

Features become a few components (TF-IDF and SVD for chromatin, PCA for log values), every output is
a linear function of them. Rank and penalty are chosen by the mean correlation per output on the
validation rows, or on held-out groups of the training rows where there are none; of penalties that
correlate alike, the one with the least error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
from scipy import linalg, sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.data import TrainingData
from scgx.learn.lsi import Lsi, column_mean
from scgx.learn.residual import targets, training_targets
from scgx.learn.selection import judges, mean_correlation, mean_squared_error
from scgx.learn.target import bounded, limits
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
RANKS = (10, 20, 50, 100)
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
TIE = 0.002  # components are all but orthogonal, so that a penalty shrinks answers and orders none


@dataclass(frozen=True)
class Config:
    """How many components, how much shrinkage."""

    rank: int = 0  # components; 0 chooses among 10, 20, 50, 100
    penalty: float = 0.0  # on standardised components, per cell; 0 chooses among .001 to 10


class _Line(NamedTuple):
    centre: np.ndarray  # (rank,)
    slope: np.ndarray  # (rank, n_out)
    intercept: np.ndarray  # (n_out,)

    def __call__(self, components: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        guess = (components - self.centre).astype(np.float64) @ self.slope[:, columns]
        return (guess + self.intercept[columns]).astype(np.float32)


class Model:
    """A projection, then a line."""

    def __init__(self, lsi: Lsi, line: _Line, low_high: np.ndarray) -> None:
        self.lsi = lsi
        self.line = line
        self.low_high = low_high

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Choose rank and penalty on judging rows, then fit on all training rows."""
        ranks = (config.rank,) if config.rank else RANKS
        penalties = (config.penalty,) if config.penalty else PENALTIES
        x, modality = data.x(data.train), data.inputs.modality
        lsi = Lsi.fit(x, modality=modality, rank=max(ranks), seed=seed)
        most = lsi.axes.shape[1]
        settings = list(product(sorted({min(rank, most) for rank in ranks}), penalties))
        rank, penalty = settings[0]
        if len(settings) > 1:
            rank, penalty = _choose(data, lsi, settings, seed=seed)
            report.say(f"rank {rank}, penalty {penalty:g} (by held-out correlation)")
        lsi = lsi._replace(axes=np.ascontiguousarray(lsi.axes[:, :rank]))
        line = _fit_line(lsi.transform(x), training_targets(data), penalty)
        return cls(lsi, line, limits(data.outputs.modality))

    def save(self) -> Mapping[str, bytes]:
        return {
            "lsi.safetensors": pack_arrays(self.lsi._asdict()),
            "line.safetensors": pack_arrays({**self.line._asdict(), "limits": self.low_high}),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        line = unpack_arrays(members["line.safetensors"])
        low_high = line.pop("limits")
        return cls(Lsi(**unpack_arrays(members["lsi.safetensors"])), _Line(**line), low_high)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        return bounded(self.line(self.lsi.transform(block.x, block.present)), self.low_high)


def _choose(
    data: TrainingData, lsi: Lsi, settings: list[tuple[int, float]], *, seed: int
) -> tuple[int, float]:
    rows = judges(data, seed=seed)
    seen, judged = lsi.transform(data.x(rows.fit)), lsi.transform(data.x(rows.judge))
    among = np.searchsorted(data.train, rows.fit)
    y, truth = training_targets(data)[among], targets(data, rows.judge)

    def answer(setting: tuple[int, float]) -> Callable[[slice], np.ndarray]:
        rank, penalty = setting
        line = _fit_line(seen[:, :rank], y, penalty)
        return lambda part: line(judged[:, :rank], part)

    reached = {setting: mean_correlation(truth, answer(setting)) for setting in settings}
    best = max(settings, key=lambda setting: reached[setting])
    alike = [one for one in settings if one[0] == best[0] and reached[one] > reached[best] - TIE]
    return min(alike, key=lambda setting: mean_squared_error(truth, answer(setting)))


def _fit_line(components: np.ndarray, y: sparse.csr_array, penalty: float) -> _Line:
    """Ridge of y (n, n_out) on components (n, rank) that are standardised inside the penalty."""
    centre = components.mean(axis=0)
    centred = components - centre
    mean = column_mean(y)
    gram = (centred.T @ centred).astype(np.float64)
    variance = np.maximum(np.diag(gram), 1e-12)
    moment = (sparse.csr_array(y.T) @ centred).T.astype(np.float64)
    slope = linalg.solve(gram + np.diag(penalty * variance + 1e-9), moment, assume_a="pos")
    return _Line(centre, slope.astype(np.float32), mean)
