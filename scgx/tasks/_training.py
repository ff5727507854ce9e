"""What the training rows say: the trivial baselines are made of it, and nothing else is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.tasks._rows import Array, FileRows, Profiles


class Training(NamedTuple):
    """Training rows of a file, (features,) mean and variance in the scored units, and `origin`.

    `rows` is None when only a summary is known (what a guess carries): there is no baseline then
    that needs cells. `variance` is empty where it is not known.
    """

    mean: Array
    variance: Array
    n: int
    origin: str
    rows: FileRows | None = None


def summarise(rows: FileRows, origin: str) -> Training:
    """One pass over the training rows."""
    one = np.zeros(len(rows.rows), dtype=np.intp)
    sums, squares, counts = _sums(rows, one, 1)
    n = max(len(rows.rows), 1)
    seen = np.maximum(counts[0], 1)
    mean = sums[0] / seen
    return Training(mean, np.maximum(squares / seen - mean**2, 0), n, origin, rows)


def group_profiles(training: Training, train: Array, scored: Array) -> Profiles:
    """The mean per group of training cells, for scored cells; an unseen group gets the mean."""
    if training.rows is None:
        raise ValueError("group profiles need training rows")
    levels, codes = np.unique(train.astype(str), return_inverse=True)
    sums, _, counts = _sums(training.rows, codes, len(levels))
    own = np.where(counts > 0, sums / np.maximum(counts, 1), training.mean)
    profiles = np.vstack([own, training.mean])
    position = {level: i for i, level in enumerate(levels)}
    chosen = [position.get(str(level), len(levels)) for level in scored]
    return Profiles(profiles, np.array(chosen, dtype=np.intp))


def combined(obs: Frame, columns: Sequence[str], rows: Array) -> Array:
    """Several columns of obs as one label per row, object (rows,)."""
    words = [obs.take(rows).strings(column) for column in columns]
    return np.array(["\x1f".join(map(str, parts)) for parts in zip(*words, strict=True)], object)


def carried(guess: Cells, columns: Array, name: str) -> Training | None:
    """The summary of its training rows that a guess carries, for some columns, or None."""
    found = [guess.scgx.get(key) for key in ("train_mean", "train_var")]
    mean, variance = (x if isinstance(x, np.ndarray) else None for x in found)
    if mean is None:
        return None
    if len(mean) != guess.n_var:
        raise DataError(
            f"its train_mean has {len(mean):,} values for {guess.n_var:,} features",
            fix="predict again with scgx predict",
            file=guess.name,
        )
    trained = guess.scgx.get("train_cells")
    n = len(trained) if isinstance(trained, np.ndarray) else 0
    spread = np.zeros(0) if variance is None else variance[columns].astype(np.float64)
    return Training(mean[columns].astype(np.float64), spread, n, f"the summary in {name}")


def _sums(rows: FileRows, codes: Array, n_codes: int) -> tuple[Array, Array, Array]:
    """Sums (codes, features), squares (features,), cells (codes, features); rows in any order."""
    order = np.argsort(rows.rows, kind="stable")
    wanted, codes = rows.rows[order], codes[order]
    totals = rows.totals[order] if len(rows.totals) else np.zeros(len(order))
    sums = np.zeros((n_codes, len(rows.columns)))
    squares = np.zeros(len(rows.columns))
    budget = rows.budget // 8
    for block in rows.cells.blocks(rows.key, memory=budget, rows=wanted, columns=rows.columns):
        here = slice(block.start, block.start + block.X.shape[0])
        values = rows.clear(block.X, wanted[here], rows.columns)
        made = rows.convert(values, totals[here]).astype(np.float64)
        n = made.shape[0]
        pick = sparse.csr_array((np.ones(n), (codes[here], np.arange(n))), shape=(n_codes, n))
        added = pick @ made
        sums += added.toarray() if sparse.issparse(added) else added
        squares += np.asarray((made * made).sum(axis=0)).ravel()
    return sums, squares, _counted(rows, wanted, codes, n_codes)


def _counted(rows: FileRows, wanted: Array, codes: Array, n_codes: int) -> Array:
    """How many cells of each code measured each feature, float64 (codes, features or 1)."""
    if rows.measured is None:
        return np.bincount(codes, minlength=n_codes).astype(np.float64)[:, None]
    datasets = len(rows.measured.datasets)
    pairs = codes * datasets + rows.measured.codes[wanted]
    cells = np.bincount(pairs, minlength=n_codes * datasets).reshape(n_codes, datasets)
    return cells @ rows.measured.mask[rows.columns].T.astype(np.float64)
