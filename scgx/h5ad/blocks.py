"""Blocks: a run of rows in memory, which is what moves through a command."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.h5ad.memory import default_memory, parse_memory

__all__ = ["Block", "default_memory", "parse_memory"]


class Block(NamedTuple):
    """Rows start .. start + len(X) of a matrix, as CSR or dense."""

    start: int
    X: sparse.csr_array | np.ndarray
