"""The trained decoder and encoder of `cvae` without torch: what `generate` needs, in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse, special

Weights = Mapping[str, np.ndarray]
STRIDE = 10.0  # as in the network: a step of the stored size is so many of its logarithm


def share(weights: Weights, z: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each gene in the counts of a cell, and its hidden layer; float32, rows as z has."""
    hidden = _linear(weights, "decode_latent", z.astype(np.float32))
    hidden = _activated(weights, "decode_norm", hidden + _sum(weights, "decode_conditions", codes))
    logits = _linear(weights, "decode_last", hidden) + _sum(weights, "decode_shift", codes)
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits, hidden


def empty(weights: Weights, hidden: np.ndarray) -> np.ndarray | None:
    """Probability that a gene is zero for no reason, where the model has that."""
    if "empty.weight" not in weights:
        return None
    return special.expit(_linear(weights, "empty", hidden))


def dispersion(weights: Weights) -> np.ndarray:
    """Variance beyond Poisson of each gene, in squares of its mean, float32 (genes,)."""
    return np.exp(-np.clip(weights["size"] * STRIDE, -7.0, 9.0))


def encode(
    weights: Weights, x: sparse.csr_array, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log variance of the latents of counts, float32 (n, latent)."""
    logged = sparse.csr_array((np.log1p(x.data), x.indices, x.indptr), shape=x.shape)
    hidden = logged @ weights["encode_genes.weight"].T + weights["encode_genes.bias"]
    hidden = _activated(weights, "encode_norm", hidden + _sum(weights, "encode_conditions", codes))
    return _halves(_linear(weights, "encode_last", hidden))


def prior(weights: Weights, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log variance of the network's prior of some conditions, float32 (n, latent)."""
    return _halves(_sum(weights, "prior", codes))


def _halves(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = np.split(both, 2, axis=1)
    return mean, np.clip(spread, -8.0, 4.0)


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _sum(weights: Weights, name: str, codes: np.ndarray) -> np.ndarray:
    tables = [weights[f"{name}.each.{i}.weight"] for i in range(codes.shape[1])]
    return np.sum([table[codes[:, i]] for i, table in enumerate(tables)], axis=0)


def _activated(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Layer norm and GELU."""
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)
    x = x * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return x * special.ndtr(x)
