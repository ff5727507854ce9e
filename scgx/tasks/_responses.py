"""Mean profiles of a screen's groups, of halves of them, and the changes that they make.

One pass over the file sums everything: perturbations and controls of each stratum, in training and in
test rows, and five random halves of what tests. Halves are told by name, whatever the order of cells.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.names import hash_names
from scgx.tasks._centroids import Log, member, stacked
from scgx.tasks._screened import Array, Ground

HALVINGS = 5


class Halves(NamedTuple):
    """Means of either half of the test cells of each group, and of the controls of each stratum."""

    first: Array  # (groups, genes)
    second: Array
    controls: tuple[Array, Array]  # (strata, genes) each
    whole: Array  # bool (groups,): both halves have cells


@dataclass(frozen=True, eq=False)
class Measured:
    """Means in log1p-cp10k, float32: of groups that test (groups, genes), of test and of training
    controls (strata, genes), of perturbations that train (trained, genes) with code, stratum and cells.
    """

    test: Array
    test_control: Array
    train_control: Array
    trained: Array
    code: Array
    stratum: Array
    cells: Array
    weights: sparse.csr_array  # (units, groups): from groups to perturbations
    group_stratum: Array
    _n: Array
    _half_n: Array
    _half: Array
    _side: dict[int, Array]

    @property
    def base(self) -> Array:
        """Training controls of each stratum, (strata, genes); of one that never trained, its own."""
        trained = np.asarray(self.train_control.any(axis=1))[:, None]
        return np.where(trained, self.train_control, self.test_control)

    def pooled(self, values: Array) -> Array:
        """Perturbations from groups: (units, genes) from (groups, genes), float32."""
        return np.asarray(self.weights @ values, dtype=np.float32)

    def halves(self, turn: int) -> Halves:
        """One of five halvings."""
        n, half = self._n[:, None], self._half_n[turn][:, None]
        whole = np.vstack([self.test, self.test_control])
        first = self._half[turn]
        second = (n * whole - half * first) / np.maximum(n - half, 1)
        k = len(self.test)
        full = (self._half_n[turn][:k] > 0) & (self._n[:k] > self._half_n[turn][:k])
        return Halves(first[:k], second[:k].astype(np.float32), (first[k:], second[k:]), full)

    def side(self, turn: int, rows: Array) -> Array:
        """Which of some rows of the truth are in the first half, bool."""
        return self._side[turn][rows]


def measure(log: Log, ground: Ground, memory: int, *, answers: int) -> Measured:
    """Sum everything; `answers` is how many guesses and baselines will be held beside it. DataError
    where so many groups and genes do not fit.
    """
    rows = np.union1d(ground.train, ground.test)
    ids, known, (k, s, t) = _ids(ground, rows)
    width = len(ground.genes)
    need = width * (12 * ((HALVINGS + 1) * (k + s) + s + t) + 4 * (answers + 8) * k)
    if need > memory:
        raise DataError(
            f"{k:,} perturbations x {width:,} genes need {need / 1e9:.1f} GB",
            fix="raise --memory, or choose genes first (scgx hvg)",
        )
    sides = {turn: _half(log, rows, ids, turn) for turn in range(HALVINGS)}
    groupings = [member(ids, k + 2 * s + t)]
    groupings += [
        member(np.where(sides[turn] & (ids < k + s), ids, -1), k + s) for turn in range(HALVINGS)
    ]
    total = log.sums(rows, stacked(groupings))
    counts = [np.asarray(each.sum(axis=1)).ravel() for each in groupings]
    ends = np.cumsum([0, *map(len, counts)])
    means = [
        (total[a:b] / np.maximum(n, 1)[:, None]).astype(np.float32)
        for a, b, n in zip(ends[:-1], ends[1:], counts, strict=True)
    ]
    whole = means[0]
    marks = (ground.groups.weight, (ground.groups.unit, np.arange(k)))
    weights = sparse.csr_array(sparse.coo_array(marks, shape=(len(ground.units), k)))
    everywhere = {}
    for turn, chosen in sides.items():
        everywhere[turn] = np.zeros(log.cells.n_obs, dtype=bool)
        everywhere[turn][rows] = chosen
    return Measured(
        whole[:k], whole[k : k + s], whole[k + s : k + 2 * s], whole[k + 2 * s :],
        known // len(ground.strata.names), known % len(ground.strata.names),
        counts[0][k + 2 * s :], weights, ground.groups.stratum,
        counts[0][: k + s], np.array(counts[1:]), np.array(means[1:]), everywhere,
    )  # fmt: skip


def _ids(ground: Ground, rows: Array) -> tuple[Array, Array, tuple[int, int, int]]:
    """What each row counts for: a group that tests, controls of either part, a perturbation that
    trains. Also the keys of the latter, and how many there are of each kind.
    """
    codes, strata = ground.screen.codes[rows], ground.strata.codes[rows]
    width, k = len(ground.strata.names), len(ground.groups)
    tests = np.isin(rows, ground.test)
    key = codes * width + strata
    units = np.array([ground.screen.conditions.index(one) for one in ground.units], dtype=np.int64)
    tested = units[ground.groups.unit] * width + ground.groups.stratum
    ids = np.full(len(rows), -1, dtype=np.int64)
    perturbed = codes > 0
    here = tests & perturbed
    ids[here] = np.searchsorted(tested, key[here])
    ids[tests & ~perturbed] = k + strata[tests & ~perturbed]
    ids[~tests & ~perturbed] = k + width + strata[~tests & ~perturbed]
    here = ~tests & perturbed
    known, place = np.unique(key[here], return_inverse=True)
    ids[here] = k + 2 * width + place.reshape(-1)
    return ids, known, (k, width, len(known))


def _half(log: Log, rows: Array, ids: Array, turn: int) -> Array:
    """Every other cell of each group, in an order that only names and the turn decide; bool (rows,)."""
    names = log.cells.obs_names[rows]
    order = np.lexsort((names.astype(str), hash_names(f"{turn}\0{name}" for name in names), ids))
    start = np.searchsorted(ids[order], ids[order], side="left")
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[order] = (np.arange(len(rows)) - start) % 2 == 0
    return chosen
