"""Blocks: a run of rows in memory, which is what moves through a command.

`import scipy`, here and beside, and not `from scipy import sparse`: scipy loads a part of itself when
it is first used, and the tenth of a second that takes is much of a small command.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy

from scgx.h5ad.memory import default_memory, parse_memory

__all__ = ["Block", "default_memory", "parse_memory"]


class Block(NamedTuple):
    """Rows start .. start + len(X) of a matrix, as CSR or dense."""

    start: int
    X: scipy.sparse.csr_array | np.ndarray


class Rows(NamedTuple):
    """A run of rows as the arrays of CSR: values, their columns, and how many each row has."""

    data: np.ndarray
    indices: np.ndarray
    lengths: np.ndarray
