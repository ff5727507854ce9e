"""Diffusion over neighbours, and time along it: Haghverdi et al. 2016, with the weights of UMAP.

As scanpy does it with its defaults (neighbors, diffmap, dpt): 15 neighbours with the cell itself, 15
components, of which 10 count in a distance.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from scgx.metrics._places import Array, Near

COMPONENTS, COUNTED = 15, 10
_STEADY = 0.9994  # an eigenvalue that large is that of a component of the graph


def fuzzy(near: Near) -> sparse.csr_array:
    """How much each cell is a neighbour of each other, in 0..1, symmetric (n, n)."""
    n, k = near.rows.shape
    far = near.distances
    first = np.where(far > 0, far, np.inf).min(axis=1)
    first = np.where(np.isfinite(first), first, 0)
    beyond = np.maximum(far - first[:, None], 0)
    low, high, mid = np.zeros(n), np.full(n, np.inf), np.ones(n)
    for _ in range(64):
        total = np.exp(-beyond / mid[:, None]).sum(axis=1)
        much = total > np.log2(k + 1)
        high, low = np.where(much, mid, high), np.where(much, low, mid)
        mid = np.where(np.isinf(high), mid * 2, (low + high) / 2)
    least = 1e-3 * np.where(first > 0, far.sum(axis=1) / (k + 1), far.sum() / (n * (k + 1)))
    mid = np.maximum(mid, least)
    weight = np.exp(
        -np.divide(beyond, mid[:, None], out=np.zeros_like(beyond), where=mid[:, None] > 0)
    )
    where = np.repeat(np.arange(n), k), near.rows.ravel()
    one = sparse.csr_array((weight.ravel(), where), shape=(n, n))
    return sparse.csr_array(one + one.T - one.multiply(one.T))


def diffusion_map(weights: sparse.csr_array) -> tuple[Array, Array]:
    """Eigenvalues (c,), the largest first, and eigenvectors (n, c) of the transitions."""
    n = weights.shape[0]
    q = 1 / np.asarray(weights.sum(axis=0)).ravel()
    even = weights.multiply(q[:, None]).multiply(q[None, :]).tocsr()
    z = 1 / np.sqrt(np.asarray(even.sum(axis=0)).ravel())
    moves = even.multiply(z[:, None]).multiply(z[None, :]).tocsr()
    count = min(COMPONENTS, n - 1)
    start = np.random.default_rng(0).standard_normal(n)
    values, vectors = linalg.eigsh(moves, k=count, v0=start)
    order = np.argsort(-values, kind="stable")
    return values[order], vectors[:, order]


def pseudotime(values: Array, vectors: Array, root: int) -> Array:
    """Diffusion distance of each cell from the root, the largest 1 (n,)."""
    values, vectors = values[:COUNTED], vectors[:, :COUNTED]
    steady = values >= _STEADY
    scale = np.where(steady, 1, values / np.where(steady, 1, 1 - values))
    far = np.sqrt((((vectors[root] - vectors) * scale) ** 2).sum(axis=1))
    return far / far.max() if far.max() > 0 else far
