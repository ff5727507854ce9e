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
from typing import Self

import numpy as np

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.curve import Curve, Shrinkage, evened
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.foresight import Foresight, foresee
from scgx.learn.kernels import Budget
from scgx.learn.loadings import Loadings
from scgx.learn.neighbours import smoothed
from scgx.learn.residual import training_targets
from scgx.learn.selection import fold_of
from scgx.learn.target import bounded, limits
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}


@dataclass(frozen=True)
class Config:
    """Sizes and shrinkage of both stages."""

    components: int = knob(30, least=1)  # of the outputs, predicted by both stages
    seen: int = knob(20, least=1)  # of these, the first so many are what stage two looks at
    power: float = knob(0.7, most=2)  # outputs are divided by their deviation to this power
    neighbours: int = knob(15, least=1)  # alike cells whose mean stage one learns; 1 for none
    idf_power: float = knob(2.0, most=5)  # inverse document frequency to this power weighs a peak
    penalty: float = 0.0  # of stage one; 0 chooses among 4, 16, 64 by held-out error
    gamma: float = 0.0  # 1 / scale^2 of the RBF; 0 chooses among .35 and .7
    second_penalty: float = 0.0  # of stage two; 0 chooses among 1, 3, 10
    depth: float = 0.3  # weight of the cell's depth in the RBF; 0 leaves it out


class Model:
    """Both stages, and the loadings that lead back to outputs."""

    def __init__(
        self,
        foresight: Foresight,
        depth: Depth,
        curve: Curve,
        loadings: Loadings,
        scales: dict[str, np.ndarray],
    ) -> None:
        self.foresight, self.depth, self.curve, self.loadings = foresight, depth, curve, loadings
        self.scales = scales  # "seen" (seen,): to common units; "limits" (2,): of the outputs

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Fit both stages on the training rows; see the module for what is held out from what."""
        y = training_targets(data)
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
        wanted = Shrinkage(config.gamma, config.second_penalty)
        curve, _ = Curve.fit(seen, y, loadings, folds, wanted, Budget(data.memory, seed))
        gamma, penalty = curve.chosen
        report.say(f"gamma {gamma:g}, penalty {penalty:g}, {len(curve.centres):,} cells carry it")
        scales = {"seen": scale, "limits": limits(data.outputs.modality)}
        return cls(foresight, depth, curve, loadings, scales)

    def save(self) -> Mapping[str, bytes]:
        return {
            "foresight.safetensors": pack_arrays(self.foresight._asdict()),
            "depth.safetensors": pack_arrays(self.depth._asdict()),
            "curve.safetensors": pack_arrays(self.curve._asdict()),
            "loadings.safetensors": pack_arrays(self.loadings._asdict()),
            "scales.safetensors": pack_arrays(self.scales),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(
            Foresight(**unpack_arrays(members["foresight.safetensors"])),
            Depth(**unpack_arrays(members["depth.safetensors"])),
            Curve(**unpack_arrays(members["curve.safetensors"])),
            Loadings(**unpack_arrays(members["loadings.safetensors"])),
            unpack_arrays(members["scales.safetensors"]),
        )

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        scale = self.scales["seen"]
        components = self.foresight(block.x)[:, : len(scale)] * scale
        seen = np.hstack([components, self.depth(block.x, block.present)])
        return bounded(self.loadings.outputs(self.curve(seen)), self.scales["limits"])
