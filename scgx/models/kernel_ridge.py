"""Kernel ridge in two stages: the strongest simple model for cross-modality prediction.

Stage one is ridge on *all* features (TF-IDF rows of unit length; solved in the dual) to a few
components of the outputs: a truncated SVD of the peaks would throw away what is predictive and small.
Stage two is RBF kernel ridge on the components that stage one predicts, and on the cell's depth. It
learns what combinations of them occur and shrinks where they say little; depth belongs in it because
the same components mean less in a shallow cell. It sees held-out predictions alone: each group of
training cells is predicted by the model fitted on the others.

Memory: 4 bytes per pair of training cells, up to 20,000 cells; above, or under a smaller --memory,
landmarks carry both stages (learn/kernels).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.batches import Batches
from scgx.learn.kernels import Budget, Dual, fit_dual, linear, rbf, rbf_between
from scgx.learn.loadings import Loadings
from scgx.learn.lsi import column_deviation, inverse_frequency, unit_rows
from scgx.learn.model import CellBlock
from scgx.learn.selection import MOST_JUDGES, fold_of, mean_correlation
from scgx.learn.target import bounded, limits
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
PENALTIES = (3.0, 8.0, 20.0)
GAMMAS = (0.35, 0.7, 1.4)
SECOND_PENALTIES = (1.0, 3.0, 10.0)
LANDMARKS_TO_CHOOSE = 1_000


@dataclass(frozen=True)
class Config:
    """Sizes and shrinkage of both stages."""

    components: int = 30  # of the outputs, predicted by both stages
    seen: int = 20  # of these, the first so many are what stage two looks at
    power: float = 0.5  # outputs are divided by their deviation to this power
    idf_power: float = 1.5  # inverse document frequency to this power weighs a peak
    penalty: float = 0.0  # of stage one; 0 chooses among 3, 8, 20 by held-out error
    gamma: float = 0.0  # 1 / scale^2 of the RBF; 0 chooses among .35, .7, 1.4
    second_penalty: float = 0.0  # of stage two; 0 chooses among 1, 3, 10
    depth: float = 0.3  # weight of the cell's depth in the RBF; 0 leaves it out


class _Eye(NamedTuple):
    """How stage two looks at a cell: components in common units, and depth."""

    scale: np.ndarray  # (seen,)
    depth: np.ndarray  # (3,) mean and deviation of log depth, and its weight

    @classmethod
    def of(cls, components: np.ndarray, depth: np.ndarray, config: Config) -> Self:
        """Scales such that the seen components have a total variance of one."""
        spread = components[:, : config.seen].std(axis=0) + np.float32(1e-6)
        scale = spread**-0.25  # half way to equal weights costs, a little evening out helps
        scale /= np.sqrt(((spread * scale) ** 2).sum())
        log = np.log1p(depth)
        return cls(scale, np.array([log.mean(), log.std() + 1e-6, config.depth], np.float32))

    def __call__(self, components: np.ndarray, depth: np.ndarray) -> np.ndarray:
        mean, deviation, weight = self.depth
        log = np.log1p(depth).astype(np.float32)[:, None]
        seen = components[:, : len(self.scale)] * self.scale
        return np.hstack([seen, weight * (log - mean) / deviation]).astype(np.float32)


class Model:
    """Both stages and the loadings."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.loadings = Loadings(arrays["mean"], arrays["scale"], arrays["axes"])
        self.eye = _Eye(arrays["eye_scale"], arrays["eye_depth"])

    @classmethod
    def fit(cls, data: Batches, config: Config, *, seed: int, report: Report) -> Self:
        """Fit both stages on the training rows; see the module for what is held out from what."""
        groups = None if data.groups is None else data.groups[data.train]
        folds = fold_of(groups, len(data.train), seed=seed)
        x, y = data.x(data.train), data.y(data.train)
        loadings = Loadings.fit(y, rank=config.components, power=config.power, seed=seed)
        z = loadings.components(y)
        weight = _weight(x, data.inputs.modality, config.idf_power)
        rows = unit_rows(x, weight)
        budget = Budget(data.memory, seed)
        penalty, first = _stage_one(rows, z, folds, config, budget)
        report.say(f"stage one: penalty {penalty:g}, {len(first.rows):,} cells carry it")
        eye = _Eye.of(first.held_out, detected(x), config)
        arrays = {
            "weight": weight,
            "share": (np.bincount(x.indices, minlength=x.shape[1]) / x.shape[0]).astype(np.float32),
            "first": (rows[first.rows].T @ first.weights).astype(np.float32),
            "first_bias": first.bias,
            "eye_scale": eye.scale,
            "eye_depth": eye.depth,
            "mean": loadings.mean,
            "scale": loadings.scale,
            "axes": loadings.axes,
            "limits": limits(data.outputs.modality),
        }
        seen = eye(first.held_out, detected(x))
        gamma, penalty = _stage_two(seen, y, loadings, folds, config, budget)
        second = fit_dual(rbf(seen, gamma), z, folds, penalty=penalty, budget=budget)
        report.say(f"stage two: gamma {gamma:g}, penalty {penalty:g}")
        arrays |= {
            "centres": seen[second.rows],
            "second": second.weights,
            "second_bias": second.bias,
            "gamma": np.array([gamma], np.float32),
        }
        return cls(arrays)

    def save(self) -> Mapping[str, bytes]:
        return {"stages.safetensors": pack_arrays(self.arrays)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(unpack_arrays(members["stages.safetensors"]))

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        seen = self.look(block.x, block.present).astype(np.float64)
        kernel = rbf_between(seen, self.arrays["centres"], float(self.arrays["gamma"][0]))
        components = kernel @ self.arrays["second"] + self.arrays["second_bias"]
        return bounded(self.loadings.outputs(components), self.arrays["limits"])

    def look(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """What stage two sees of cells x: (n, seen + 1); depth is made up for absent features."""
        first = self.arrays["first"].astype(np.float64)  # rounded once: see Lsi.transform
        components = (unit_rows(x, self.arrays["weight"]) @ first).astype(np.float32)
        share = self.arrays["share"]
        here = 1.0 if present is None else share[present].sum() / max(share.sum(), 1e-9)
        return self.eye(components + self.arrays["first_bias"], detected(x) / max(here, 1e-9))


def detected(x: sparse.csr_array) -> np.ndarray:
    """Depth of each cell: how many of its features are there (n,)."""
    return np.diff(x.indptr).astype(np.float64)


def _weight(x: sparse.csr_array, modality: str, power: float) -> np.ndarray:
    """Rare peaks weigh more; log values are brought to a common deviation."""
    if modality == "atac":
        return inverse_frequency(x, power=power)
    deviation = column_deviation(x)
    return np.where(deviation > 0, 1 / np.maximum(deviation, 0.1), 0).astype(np.float32)


def _stage_one(
    rows: sparse.csr_array, z: np.ndarray, folds: np.ndarray, config: Config, budget: Budget
) -> tuple[float, Dual]:
    """The penalty whose held-out components come closest, and its fit."""
    found: tuple[float, float, Dual] | None = None
    for penalty in (config.penalty,) if config.penalty else PENALTIES:
        fitted = fit_dual(linear(rows), z, folds, penalty=penalty, budget=budget)
        error = float(((fitted.held_out - z) ** 2).sum(dtype=np.float64))
        if found is None or error < found[0]:
            found = error, penalty, fitted
    assert found is not None
    return found[1], found[2]


def _stage_two(
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
