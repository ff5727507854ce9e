"""What a model sees at use: some cells, in its own features and units."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.h5ad.frame import Frame


@dataclass(frozen=True)
class CellBlock:
    """What a model sees at use: n cells in the model's own features and units.

    x: CSR float32 (n, inputs); obs: the n rows; totals: depth of each cell in the input modality,
    float64 (n,); present: which inputs this file has, bool (inputs,): an absent one is a zero column
    that means nothing.
    """

    x: sparse.csr_array
    obs: Frame
    totals: np.ndarray
    present: np.ndarray
