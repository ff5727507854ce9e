"""Groups of cells in an embedding, for `classify --majority-vote` and for the eye."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans

from scgx.errors import DataError, UsageError

COLUMN = "scgx_cluster"
LEAST = 10  # cells of a cluster of HDBSCAN


def parse(word: str) -> tuple[str, int]:
    """`kmeans:N` or `hdbscan[:LEAST]` as a kind and a number; UsageError for other words."""
    kind, colon, text = word.partition(":")
    least = {"kmeans": 2, "hdbscan": 2}.get(kind)
    if least is not None and (colon or kind == "hdbscan"):
        number = int(text) if text.isdigit() else (LEAST if not colon else 0)
        if number >= least:
            return kind, number
    raise UsageError(
        f"--cluster {word!r} is not known", fix="kmeans:N (N from 2), or hdbscan[:LEAST]"
    )


def found(vectors: np.ndarray, wish: tuple[str, int], *, seed: int) -> np.ndarray:
    """The cluster of each cell (n,), "0" the largest; None for what HDBSCAN leaves out; object.

    DataError where HDBSCAN leaves out all cells, as it does in many dimensions.
    """
    kind, number = wish
    if len(vectors) <= number:
        raise UsageError(f"{len(vectors):,} cells are too few for --cluster {kind}:{number}")
    if kind == "kmeans":
        codes = KMeans(number, n_init=10, random_state=seed).fit_predict(vectors)
    else:
        codes = HDBSCAN(min_cluster_size=number, copy=True).fit_predict(vectors)
    if codes.max() < 0:
        raise DataError(
            f"hdbscan finds no cluster of {number} cells in {vectors.shape[1]} dimensions",
            fix="scgx embed umap --cluster hdbscan, or kmeans:N",
        )
    sizes = np.bincount(codes[codes >= 0], minlength=codes.max() + 1)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.array([str(rank[c]) if c >= 0 else None for c in codes], dtype=object)
