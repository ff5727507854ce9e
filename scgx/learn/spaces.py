"""Embeddings that a file has already: several in one, and a flat one to look at.

Every embedding is centred and divided by one number, the root of its total variance, so that none
counts for more than another because its numbers are larger. With a column of batches that is done in
each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, MachineError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.fitted import rows_to_fit
from scgx.learn.embedding import Made, of_array, origin_of
from scgx.progress import say
from scgx.registry import suggest

NEIGHBOURS = 15


class Basis(NamedTuple):
    """Embeddings in obsm; a column of batches; what the new one is called (None: X_ and what it is).

    A key may end in =WEIGHT, by which the embedding is multiplied once it is scaled.
    """

    keys: tuple[str, ...]
    batch: str | None = None
    name: str | None = None


def derived(what: str, cells: Cells, of: Basis, *, seed: int) -> tuple[Made, np.ndarray | None]:
    """`umap` or `concat` of embeddings of a file; and the vectors beneath a flat one, (n, d)."""
    rows = rows_to_fit(cells)
    weights = [_weight(word) for word in of.keys]
    of = of._replace(keys=tuple(basis_of(cells, word.partition("=")[0]) for word in of.keys))
    key = of.name or f"X_{what}"
    about: dict[str, object] = {"name": what, "basis": list(of.keys), "seed": seed}
    origin = origin_of(cells, of.keys, rows.rows)
    if what == "concat":
        values = joined(cells, dict(zip(of.keys, weights, strict=True)), rows.rows, of.batch)
        return of_array(key, values, about | {"batch": of.batch, "weights": weights}, origin), None
    beneath = read(cells, of.keys[0])
    say(f"umap of obsm[{of.keys[0]!r}], laid out on {rows}")
    return of_array(key, flat(beneath, rows.rows, seed=seed), about, origin), beneath


def basis_of(cells: Cells, word: str | None) -> str:
    """The key of obsm that is meant: `pca` is X_pca; None is X_umap, X_pca or the first there is."""
    there = cells.keys("obsm")
    wanted = ["X_umap", "X_pca", *there] if word is None else [word, f"X_{word}"]
    for key in wanted:
        if key in there:
            return key
    if word is None:
        raise DataError("has no embedding", fix="scgx embed pca makes one", file=cells.name)
    raise DataError(f"has no obsm {word!r}", fix=suggest(word, there), file=cells.name)


def read(cells: Cells, key: str) -> np.ndarray:
    """obsm["KEY"] as float32 (n, d); DataError where there is none, or where it holds NaN."""
    if not cells.has(f"obsm/{key}"):
        there = ", ".join(cells.keys("obsm")) or "none"
        raise DataError(f"has no obsm[{key!r}]", fix=f"there: {there}", file=cells.name)
    item = cells.matrix(f"obsm/{key}")
    found = item.slice(0, cells.n_obs)
    values = found if isinstance(found, np.ndarray) else found.toarray()
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values).all(axis=1)).sum())
        raise DataError(
            f"obsm[{key!r}] holds missing or infinite values in {bad:,} cells",
            fix="embed them again, or leave those cells out",
            file=cells.name,
        )
    return values.astype(np.float32)


def _weight(word: str) -> float:
    _, equals, text = word.partition("=")
    try:
        weight = float(text) if equals else 1.0
    except ValueError:
        weight = 0.0
    if not 0 < weight < 1e6:
        raise UsageError(f"--basis {word!r}: the weight is no number above 0", fix="as in lsi=0.5")
    return weight


def joined(
    cells: Cells, keys: Mapping[str, float], train: np.ndarray, batch: str | None
) -> np.ndarray:
    """Float32 (n, sum of d): embeddings beside each other, each of total variance 1 on `train` rows,
    times its weight.

    With `batch` (a column of obs) each is centred and scaled by the cells of the batch themselves.
    """
    groups = [(train, np.arange(cells.n_obs))]
    if batch is not None:
        words = cells.obs.strings(batch)
        names = dict.fromkeys(words.tolist())
        rows = [np.flatnonzero(words == name) for name in names]
        groups = [(some, some) for some in rows]
        say(f"each of {len(groups)} {batch} is centred on its own cells, those of all parts")
    return np.hstack([weight * _scaled(read(cells, key), groups) for key, weight in keys.items()])


def _scaled(values: np.ndarray, groups: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    made = np.zeros(values.shape)
    for seen, rows in groups:
        some = values[seen].astype(np.float64)
        centre, size = some.mean(axis=0), np.sqrt(some.var(axis=0).sum())
        made[rows] = (values[rows] - centre) / (size or 1)
    return made.astype(np.float32)


def flat(vectors: np.ndarray, train: np.ndarray, *, seed: int) -> np.ndarray:
    """UMAP (McInnes 2018) of (n, d) to float32 (n, 2): laid out on `train` rows, the others put in."""
    try:
        import umap
    except ImportError:
        raise MachineError(
            "umap needs umap-learn, which is not installed", fix="pip install 'scgx[umap]'"
        ) from None
    near = min(NEIGHBOURS, len(train) - 1)
    if near < 2:
        raise DataError(f"{len(train)} cells are too few for a layout")
    layout = umap.UMAP(n_neighbors=near, random_state=seed, n_jobs=1)
    made = np.empty((len(vectors), 2), np.float32)
    made[train] = layout.fit_transform(vectors[train])
    rest = np.setdiff1d(np.arange(len(vectors)), train)
    if len(rest):
        made[rest] = layout.transform(vectors[rest])
    return made
