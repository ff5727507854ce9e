"""What all features of a cell say about another modality of it: the first stage of stacked models.

Ridge foresees components of the target (`learn/foresight`), taught by targets that are averaged over
alike cells; naive Bayes says which kinds of cell would have these features (`learn/bayes`), and errs
differently; depth says how much to believe them. Evidence of training cells is held out by group
(batch, donor): a second stage must see what the first one says about cells that it does not know.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.learn.bayes import Kinds, score_kinds
from scgx.learn.curve import evened
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.foresight import Foresight, foresee
from scgx.learn.neighbours import smoothed

BAYES_SHARE = 0.5  # of the spread of the foreseen components


class Wanted(NamedTuple):
    """Sizes and shrinkage of the evidence."""

    seen: int  # foreseen components that are kept
    neighbours: int  # cells alike in the target whose mean is foreseen
    kinds: int  # of cell, for naive Bayes
    idf_power: float  # inverse document frequency to this power weighs a peak
    penalty: float  # of the ridge; 0 chooses
    depth: float  # weight of the cell's depth


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


def gather(
    data: TrainingData, z: np.ndarray, folds: np.ndarray, wanted: Wanted, seed: int
) -> tuple[Evidence, np.ndarray]:
    """Evidence fitted on all training rows, and that of the training rows, held out.

    `z` (n_train, k) are components of the target, `folds` (n_train,) what is held out together.
    """
    x = data.x(data.train)
    target = smoothed(z, dimensions=wanted.seen, neighbours=wanted.neighbours)
    foresight, foreseen = foresee(
        data, target, idf_power=wanted.idf_power, penalty=wanted.penalty, seed=seed
    )
    kinds, scores = score_kinds(x, target[:, : wanted.seen], folds, kinds=wanted.kinds, seed=seed)
    spread = np.sqrt(scores.var(axis=0).sum() + 1e-12)
    centre = np.append(scores.mean(axis=0), BAYES_SHARE / spread).astype(np.float32)
    depth = Depth.fit(x, weight=wanted.depth)
    scale = evened(foreseen[:, : wanted.seen])
    evidence = Evidence(foresight, kinds, depth, scale, centre)
    return evidence, evidence.join(foreseen, scores, depth(x))
