"""Kernel ridge in two stages: the strongest simple model for cross-modality prediction.

Stage one is ridge on *all* features (TF-IDF rows of unit length; solved in the dual) to a few
components of the outputs (`learn/foresight`): a truncated SVD of the peaks would throw away what is
predictive and small. Stage two is RBF kernel ridge on the components that stage one predicts, and on
the cell's depth. It learns what combinations of them occur and shrinks where they say little; depth
belongs in it because the same components mean less in a shallow cell. It sees held-out predictions
alone: each group of training cells is predicted by the model fitted on the others.

Memory: 4 bytes per pair of training cells, up to 20,000 cells; above, or under a smaller --memory,
landmarks carry both stages (`learn/kernels`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.batches import Batches
from scgx.learn.depth import Depth
from scgx.learn.foresight import Foresight, foresee
from scgx.learn.kernels import Budget, fit_dual, rbf, rbf_between
from scgx.learn.loadings import Loadings
from scgx.learn.model import CellBlock
from scgx.learn.neighbours import smoothed
from scgx.learn.selection import MOST_JUDGES, fold_of, mean_correlation
from scgx.learn.target import bounded, limits
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
GAMMAS = (0.35, 0.7)
SECOND_PENALTIES = (1.0, 3.0, 10.0)
LANDMARKS_TO_CHOOSE = 1_000


@dataclass(frozen=True)
class Config:
    """Sizes and shrinkage of both stages."""

    components: int = 30  # of the outputs, predicted by both stages
    seen: int = 20  # of these, the first so many are what stage two looks at
    power: float = 0.7  # outputs are divided by their deviation to this power
    neighbours: int = 15  # cells alike in the outputs whose mean stage one learns; 1 for none
    idf_power: float = 2.0  # inverse document frequency to this power weighs a peak
    penalty: float = 0.0  # of stage one; 0 chooses among 4, 16, 64 by held-out error
    gamma: float = 0.0  # 1 / scale^2 of the RBF; 0 chooses among .35 and .7
    second_penalty: float = 0.0  # of stage two; 0 chooses among 1, 3, 10
    depth: float = 0.3  # weight of the cell's depth in the RBF; 0 leaves it out


class _Curve(NamedTuple):
    """Stage two: an RBF around each cell that carries it."""

    scale: np.ndarray  # (seen,) brings foreseen components to common units
    centres: np.ndarray  # (m, seen + 1)
    weights: np.ndarray  # (m, k)
    bias: np.ndarray  # (k,)
    gamma: np.ndarray  # (1,)

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        kernel = rbf_between(seen.astype(np.float64), self.centres, float(self.gamma[0]))
        return kernel @ self.weights + self.bias


class Model:
    """Both stages, and the loadings that lead back to outputs."""

    def __init__(
        self,
        foresight: Foresight,
        depth: Depth,
        curve: _Curve,
        loadings: Loadings,
        low_high: np.ndarray,
    ) -> None:
        self.foresight, self.depth, self.curve = foresight, depth, curve
        self.loadings, self.low_high = loadings, low_high

    @classmethod
    def fit(cls, data: Batches, config: Config, *, seed: int, report: Report) -> Self:
        """Fit both stages on the training rows; see the module for what is held out from what."""
        y = data.y(data.train)
        loadings = Loadings.fit(y, rank=config.components, power=config.power, seed=seed)
        target = smoothed(
            loadings.components(y), dimensions=config.seen, neighbours=config.neighbours
        )
        foresight, held_out = foresee(
            data, target, idf_power=config.idf_power, penalty=config.penalty, seed=seed
        )
        x = data.x(data.train)
        depth = Depth.fit(x, weight=config.depth)
        scale = evened(held_out[:, : config.seen])
        seen = np.hstack([held_out[:, : config.seen] * scale, depth(x)])
        groups = None if data.groups is None else data.groups[data.train]
        folds = fold_of(groups, len(data.train), seed=seed)
        budget = Budget(data.memory, seed)
        gamma, penalty = _choose(seen, y, loadings, folds, config, budget)
        z = loadings.components(y)
        dual = fit_dual(rbf(seen, gamma), z, folds, penalty=penalty, budget=budget)
        report.say(f"gamma {gamma:g}, penalty {penalty:g}, {len(dual.rows):,} cells carry it")
        width = np.array([gamma], np.float32)
        curve = _Curve(scale, seen[dual.rows], dual.weights, dual.bias, width)
        return cls(foresight, depth, curve, loadings, limits(data.outputs.modality))

    def save(self) -> Mapping[str, bytes]:
        return {
            "foresight.safetensors": pack_arrays(self.foresight._asdict()),
            "depth.safetensors": pack_arrays(self.depth._asdict()),
            "curve.safetensors": pack_arrays(self.curve._asdict()),
            "loadings.safetensors": pack_arrays(
                {**self.loadings._asdict(), "limits": self.low_high}
            ),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        loadings = unpack_arrays(members["loadings.safetensors"])
        low_high = loadings.pop("limits")
        return cls(
            Foresight(**unpack_arrays(members["foresight.safetensors"])),
            Depth(**unpack_arrays(members["depth.safetensors"])),
            _Curve(**unpack_arrays(members["curve.safetensors"])),
            Loadings(**loadings),
            low_high,
        )

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        scale = self.curve.scale
        components = self.foresight(block.x)[:, : len(scale)] * scale
        seen = np.hstack([components, self.depth(block.x, block.present)])
        return bounded(self.loadings.outputs(self.curve(seen)), self.low_high)


def evened(components: np.ndarray) -> np.ndarray:
    """Scales (k,) float32 that even components out a little and give them a total variance of 1."""
    spread = components.std(axis=0) + np.float32(1e-6)
    scale = spread**-0.25
    return scale / np.sqrt(((spread * scale) ** 2).sum())


def _choose(
    seen: np.ndarray,
    y: sparse.csr_array,
    loadings: Loadings,
    folds: np.ndarray,
    config: Config,
    budget: Budget,
) -> tuple[float, float]:
    """Gamma and penalty whose held-out outputs correlate best; few landmarks suffice for that."""
    gammas = (config.gamma,) if config.gamma else GAMMAS
    penalties = (config.second_penalty,) if config.second_penalty else SECOND_PENALTIES
    settings = list(product(gammas, penalties))
    if len(settings) == 1:
        return settings[0]
    z = loadings.components(y)
    some = np.arange(0, len(z), -(-len(z) // MOST_JUDGES))
    truth = y[some]
    small = budget._replace(landmarks=LANDMARKS_TO_CHOOSE, exact=LANDMARKS_TO_CHOOSE)

    def score(setting: tuple[float, float]) -> float:
        gamma, penalty = setting
        guess = fit_dual(rbf(seen, gamma), z, folds, penalty=penalty, budget=small).held_out[some]
        return mean_correlation(truth, lambda part: loadings.outputs(guess, part))

    return max(settings, key=score)
