"""The state of a cell as what can be foreseen from all its features: predicted target components.

A truncated SVD of the peaks keeps what varies most among peaks and throws away what tells about the
target. Ridge on all features (unit-length rows, rare peaks weighing more; solved in the dual) keeps
it. Whoever learns from these components must see, for training cells, what was predicted without
them: whole groups (batches, donors) are held out in turn, exactly (see `kernels`).
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.learn.data import TrainingData
from scgx.learn.kernels import Budget, Dual, fit_dual, linear
from scgx.learn.lsi import column_deviation, inverse_frequency, unit_rows
from scgx.learn.selection import fold_of

PENALTIES = (4.0, 16.0, 64.0)
ROWS_TO_CHOOSE = 2_000


class Foresight(NamedTuple):
    """components = unit_rows(x, weight) @ slope + bias"""

    weight: np.ndarray  # (n_in,) float32
    slope: np.ndarray  # (n_in, rank) float32
    bias: np.ndarray  # (rank,) float32

    def __call__(self, x: sparse.csr_array) -> np.ndarray:
        """Foreseen components of cells x: float32 (n, rank).

        Summed in float64 and rounded once, so that a cell's place in a block does not show.
        """
        slope = self.slope.astype(np.float64)
        return (unit_rows(x, self.weight) @ slope + self.bias).astype(np.float32)


def foresee(
    data: TrainingData, components: np.ndarray, *, idf_power: float, penalty: float, seed: int
) -> tuple[Foresight, np.ndarray]:
    """Fit on the training rows; also what is foreseen for them, held out, float32 (n_train, rank).

    `components` (n_train, rank) is what there is to foresee; `penalty` 0 chooses.
    """
    x = data.x(data.train)
    weight = _weight(x, data.inputs.modality, idf_power)
    rows = unit_rows(x, weight)
    groups = None if data.groups is None else data.groups[data.train]
    folds = fold_of(groups, len(data.train), seed=seed)
    budget = Budget(data.memory, seed)
    penalty = penalty or _choose(rows, components, folds, budget)
    dual = fit_dual(linear(rows), components, folds, penalty=penalty, budget=budget)
    slope = (sparse.csr_array(rows[dual.rows].T) @ dual.weights).astype(np.float32)
    return Foresight(weight, slope, dual.bias), dual.held_out


def _choose(
    rows: sparse.csr_array, components: np.ndarray, folds: np.ndarray, budget: Budget
) -> float:
    """The penalty whose held-out components come closest, on some rows."""
    some = np.arange(0, len(components), -(-len(components) // ROWS_TO_CHOOSE))
    kernel, truth = linear(rows[some]), components[some]

    def error(penalty: float) -> float:
        dual: Dual = fit_dual(kernel, truth, folds[some], penalty=penalty, budget=budget)
        return float(((dual.held_out - truth) ** 2).sum(dtype=np.float64))

    return min(PENALTIES, key=error)


def _weight(x: sparse.csr_array, modality: str, idf_power: float) -> np.ndarray:
    """Rare peaks weigh more; log values are brought to a common deviation."""
    if modality == "atac":
        return inverse_frequency(x, power=idf_power)
    deviation = column_deviation(x)
    return np.where(deviation > 0, 1 / np.maximum(deviation, 0.1), 0).astype(np.float32)
