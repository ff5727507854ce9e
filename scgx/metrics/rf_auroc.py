"""Can a forest tell made cells from real ones? At .5 it cannot."""

import numpy as np

from scgx.metrics._forest import told_apart
from scgx.metrics._sets import Design, Pair, Repeats, Result


class Metric:
    """A random forest between real and made cells."""

    id = "rf_auroc"
    definition = (
        "area under the curve of a random forest that tells made from real held-out cells, "
        "cross-validated in five folds, equal numbers per class; .5 is best"
    )
    direction = -1
    target = 0.5  # the best value
    gene_sets = False
    task = "generation"
    variants = ("genes", "components")

    def __init__(self, design: Design) -> None:
        self._seen = {kind: Repeats() for kind in self.variants}
        self._seed = design.seed

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        made = np.repeat([0, 1], [len(pair.real), len(pair.fake)])
        groups = pair.real.digests() + pair.fake.digests()
        for kind, seen in self._seen.items():
            sides = (
                side.log.toarray() if kind == "genes" else side.components
                for side in (pair.real, pair.fake)
            )
            x = np.concatenate([np.asarray(side, dtype=np.float32) for side in sides])
            seen.add(told_apart(x, made, groups, seed=self._seed), len(made))

    def result(self, variant: str = "genes") -> Result:
        """The mean over draws of cells."""
        return self._seen[variant].result()
