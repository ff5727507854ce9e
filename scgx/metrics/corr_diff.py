"""Do genes go together within a class as they do in real cells?"""

import numpy as np

from scgx.metrics._sets import Array, CellSet, Design, Pair, Repeats, Result


class Metric:
    """Mean error of correlations between genes."""

    id = "corr_diff"
    definition = (
        "mean |r_real - r_made| over pairs of the 200 genes that vary most in training cells, "
        "values taken about the mean of their class; a gene that does not vary has r = 0"
    )
    direction = -1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        (mine, dead), (theirs, silent) = correlations(pair.real), correlations(pair.fake)
        upper = np.triu_indices(len(mine), 1)
        known = len(pair.real) > 2 and len(upper[0]) > 0
        error = float(np.abs(mine - theirs)[upper].mean()) if known else float("nan")
        self._seen.add(error, len(upper[0]), dead + silent)

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()


def correlations(cells: CellSet) -> tuple[Array, int]:
    """r of the most variable genes (v, v) about class means, and how many genes do not vary."""
    if cells.space is None:
        raise ValueError("these cells are in no space")
    x = cells.log[:, cells.space.variable].toarray().astype(np.float64)
    for code in np.unique(cells.codes):
        mine = cells.codes == code
        x[mine] -= x[mine].mean(axis=0)
    length = np.sqrt((x * x).sum(axis=0))
    flat = length < 1e-9
    x = np.where(flat, 0, x / np.where(flat, 1, length))
    return x.T @ x, int(flat.sum())
