"""What all features of a cell say about another modality of it: the first stage of stacked models.

Ridge foresees components of the target (`learn/foresight`), taught by targets that are averaged over
alike cells; naive Bayes says which kinds of cell would have these features (`learn/bayes`), and errs
differently; depth says how much to believe them. Evidence of training cells is held out by group
(batch, donor): a second stage must see what the first one says about cells that it does not know.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.bayes import Kinds, score_kinds
from scgx.learn.curve import evened
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.foresight import Foresight, foresee
from scgx.learn.loadings import Loadings
from scgx.learn.neighbours import smoothed
from scgx.learn.residual import training_targets
from scgx.learn.selection import fold_of

BAYES_SHARE = 0.5  # of the spread of the foreseen components


class Wanted(NamedTuple):
    """Sizes and shrinkage of the evidence, and of the components of the target that it speaks of."""

    components: int  # of the target
    power: float  # targets are divided by their deviation to this power
    seen: int  # foreseen components that are kept
    neighbours: int  # cells alike in the target whose mean is foreseen
    kinds: int  # of cell, for naive Bayes
    idf_power: float  # inverse document frequency to this power weighs a peak
    penalty: float  # of the ridge; 0 chooses
    depth: float  # weight of the cell's depth

    @classmethod
    def of(cls, config: object) -> Self:
        """What the settings of a model say, which have knobs of these names."""
        return cls(*(getattr(config, name) for name in cls._fields))


class Evidence(NamedTuple):
    """What a second stage sees of a cell."""

    foresight: Foresight
    kinds: Kinds
    depth: Depth
    scale: np.ndarray  # (seen,) of foreseen components
    centre: np.ndarray  # (kinds + 1,) mean of each score, then one over their common spread

    def __call__(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """(n, seen + kinds + 1) float32."""
        return self.join(self.foresight(x), self.kinds(x), self.depth(x, present))

    def join(self, foreseen: np.ndarray, scores: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """The same from its parts, which may have been held out."""
        seen = foreseen[:, : len(self.scale)] * self.scale
        scores = (scores - self.centre[:-1]) * self.centre[-1]
        return np.hstack([seen, scores, depth]).astype(np.float32)


class Gathered(NamedTuple):
    """What a second stage is fitted on: rows are the training rows, in order."""

    y: sparse.csr_array  # (n, outputs) targets
    loadings: Loadings  # of these
    folds: np.ndarray  # (n,) what is held out together
    evidence: Evidence  # fitted on all training rows
    seen: np.ndarray  # (n, seen + kinds + 1) float32: their evidence, held out


def gather(data: TrainingData, wanted: Wanted, seed: int) -> Gathered:
    """Targets and inputs of the training rows, and what the inputs say of the targets."""
    y, x = training_targets(data), data.x(data.train)
    loadings = Loadings.fit(y, rank=wanted.components, power=wanted.power, seed=seed)
    groups = None if data.groups is None else data.groups[data.train]
    folds = fold_of(groups, len(data.train), seed=seed)
    components = loadings.components(y)
    target = smoothed(components, dimensions=wanted.seen, neighbours=wanted.neighbours)
    foresight, foreseen = foresee(
        data, target, idf_power=wanted.idf_power, penalty=wanted.penalty, seed=seed
    )
    kinds, scores = score_kinds(x, target[:, : wanted.seen], folds, kinds=wanted.kinds, seed=seed)
    spread = np.sqrt(scores.var(axis=0).sum() + 1e-12)
    centre = np.append(scores.mean(axis=0), BAYES_SHARE / spread).astype(np.float32)
    depth = Depth.fit(x, weight=wanted.depth)
    scale = evened(foreseen[:, : wanted.seen])
    evidence = Evidence(foresight, kinds, depth, scale, centre)
    return Gathered(y, loadings, folds, evidence, evidence.join(foreseen, scores, depth(x)))
