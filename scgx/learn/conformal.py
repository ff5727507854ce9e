"""How sure is sure enough: a bar for probabilities, so that a set of classes holds the true one.

Split conformal prediction: on validation cells the probability of the true class is known, and the
bar is the value that a share `coverage` of them reach. A cell's set is every class above the bar. For
cells that are exchangeable with the validation cells the set holds the true class as often as asked,
however wrong the model; cells of another study are not, and of those it is a guide. The validation
cells also stopped the training, which makes the bar a little high.
"""

from __future__ import annotations

import numpy as np

from scgx.errors import DataError

FINE, COARSE = "conformal", "conformal_coarse"  # in the summary of an artifact
SLACK = 1e-7  # what storing a probability as float32 may cost


def scores(probability: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sorted float32 (n,): 1 minus the calibrated probability of the true class of each cell."""
    own = probability[np.arange(len(codes)), codes]
    return np.sort(1 - own).astype(np.float32)


def bar(stored: np.ndarray, coverage: float) -> float:
    """The least probability of a class in the set; 0 where the cells are too few to say."""
    n = len(stored)
    rank = int(np.ceil((n + 1) * coverage - 1e-9))
    return 0.0 if rank > n else max(0.0, float(1 - stored[max(rank, 1) - 1]) - SLACK)


def bar_of(summary: dict[str, np.ndarray], coverage: float, *, coarse: bool, name: str) -> float:
    """The bar that a model file carries; DataError where it has none, or too few cells for it."""
    stored = summary.get(COARSE if coarse else FINE)
    if stored is None or not len(stored):
        raise DataError("has no validation cells to set a bar by", fix="train it again", file=name)
    found = bar(stored, coverage)
    if coverage * (len(stored) + 1) > len(stored):
        raise DataError(
            f"{len(stored):,} validation cells cannot show a coverage of {coverage:g}",
            fix=f"--coverage {np.floor(100 * len(stored) / (len(stored) + 1)) / 100:g} is the most",
            file=name,
        )
    return found


def sets(probability: np.ndarray, least: float) -> np.ndarray:
    """Which classes each cell may be, bool (n, classes); of a cell of another kind perhaps none."""
    made: np.ndarray = probability >= np.float32(least)
    return made
