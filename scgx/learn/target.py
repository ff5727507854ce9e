"""What a prediction may be in its modality's units: probabilities for chromatin, no negative RNA."""

import numpy as np

LIMITS = {"rna": (0.0, np.inf), "activity": (0.0, np.inf), "atac": (0.0, 1.0)}


def limits(modality: str) -> np.ndarray:
    """Lowest and highest value (2,), float32; a log ratio (`adt`) has none."""
    return np.array(LIMITS.get(modality, (-np.inf, np.inf)), np.float32)


def bounded(values: np.ndarray, low_high: np.ndarray) -> np.ndarray:
    """Values (n, n_out) brought within the limits, in place, float32."""
    return np.clip(values, low_high[0], low_high[1], out=values)
