"""Does the change go the right way, gene by gene? Shared controls flatter it, so both are shown."""

import numpy as np

from scgx.metrics._panel import Result
from scgx.metrics._response import INDEPENDENT, SHARED, Case, Design, Units, correlation


class Metric:
    """r of true and guessed change."""

    id = "pearson_delta"
    definition = (
        "r over genes of the true and the guessed change against control, mean over perturbations; "
        "ctrl=independent: the truth subtracts test controls and a guess the training ones or its "
        "own (noise of test controls that it was predicted from is taken out, by halves of them), "
        "ctrl=shared: both subtract the training controls; de20: the 20 genes of largest rank "
        "sum in the truth; top1000: the 1,000 genes most expressed in controls"
    )
    direction = 1
    ideal = 1.0
    gene_sets = False
    task = "perturbation"
    variants = (INDEPENDENT, SHARED, f"{INDEPENDENT},de20", f"{SHARED},top1000")

    def __init__(self, design: Design) -> None:
        self._design = design
        self._units = {variant: Units(design) for variant in self.variants}

    def update(self, case: Case) -> None:
        """Take in a perturbation."""
        design, i = self._design, case.unit
        kept = design.others(i)
        sides = {
            INDEPENDENT: (design.truth[i], case.change),
            SHARED: (design.shared[i], case.shared),
        }
        most = np.zeros(len(kept), dtype=bool)
        most[design.expressed] = True
        for variant, units in self._units.items():
            controls, _, genes = variant.partition(",")
            truth, guess = sides[controls]
            if genes == "de20":
                if case.marked is None:
                    continue
                chosen = case.marked
            else:
                chosen = np.flatnonzero(kept & most if genes else kept)
            noise = case.shared_noise(chosen) if controls == INDEPENDENT else 0.0
            r, flat = correlation(truth[chosen], guess[chosen], noise)
            units.set(i, r, degenerate=flat)

    def result(self, variant: str = INDEPENDENT) -> Result:
        """The mean over perturbations."""
        return self._units[variant].result()
