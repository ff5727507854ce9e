"""Where genes start; apart from the readers of annotations, which take a while to import."""

from __future__ import annotations

import numpy as np


def tss(start: np.ndarray, end: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """First transcribed base of genes, 0-based int64; -1 where start is -1."""
    return np.where((strand == "-") & (start >= 0), end - 1, start).astype(np.int64)
