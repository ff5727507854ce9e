"""Cells of one perturbation at a time, for what means do not show: tests of genes, and distances.

A guess that has a few cells of a group only, and every baseline, is a change: it is applied to the
measured controls of the stratum.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from scgx.h5ad.names import hash_names
from scgx.metrics._ranksum import Contrast, contrast
from scgx.metrics._response import Cellwise
from scgx.metrics._sets import Space, distances
from scgx.tasks._centroids import Log
from scgx.tasks._response_guess import Guessed
from scgx.tasks._responses import Measured
from scgx.tasks._screened import Array, Ground

UNITS = 100  # perturbations whose cells are looked at
CELLS = 200  # cells of a group that are looked at, and controls of a stratum
FEWEST = 20  # a group of fewer cells is not looked at
MARKED = 20
_TRAIN = 4_000  # training cells that components are fitted to


@dataclass(frozen=True, eq=False)
class Look:
    """One group, seen: cells (n, genes), controls (m, genes), and their test against each other."""

    group: int
    weight: float
    rows: Array
    cells: Array
    control_rows: Array
    controls: Array
    own: Array  # positions of target genes
    real: Contrast


@dataclass
class Room:
    """What is needed to see cells: files, components of training cells, and who is looked at."""

    log: Log
    ground: Ground
    own: tuple[Array, ...]
    space: Space
    scale: float
    units: frozenset[int]
    seed: int
    _controls: dict[int, tuple[Array, sparse.csr_array]] = field(default_factory=dict)
    _real: dict[int, Contrast] = field(default_factory=dict)

    def look(self, unit: int) -> list[Look]:
        """The groups of a perturbation; none where its cells are not looked at."""
        groups = self.ground.groups
        found = []
        here = np.flatnonzero((groups.unit == unit) & (unit in self.units))
        for k in map(int, here):
            if groups.cells[k] < FEWEST:
                continue
            stratum = int(groups.stratum[k])
            code = self.ground.screen.conditions.index(self.ground.units[unit])
            rows = self._some(self._rows(code, stratum))
            control_rows, kept = self._control(stratum)
            cells, controls = self.log.read(rows), kept.toarray()
            if k not in self._real:
                self._real[k] = contrast(cells, controls, self.own[unit])
            found.append(
                Look(k, float(groups.weight[k]), rows, cells, control_rows, controls,
                     self.own[unit], self._real[k])
            )  # fmt: skip
        return found

    def remarks(self) -> list[str]:
        """What is not looked at, and why."""
        groups, n, most = self.ground.groups, len(self.ground.units), len(self.units)
        notes = []
        if n > most:
            notes.append(f"tests of genes and distances of cells are of {most} perturbations")
        seen = {int(unit) for unit in groups.unit[groups.cells >= FEWEST]} & self.units
        if lost := most - len(seen):
            alone = " in any stratum" if len(self.ground.strata.names) > 1 else ""
            notes.append(
                f"no tests of genes or distances of cells for {lost:,} of {most:,} perturbations, which"
                f" have under {FEWEST} test cells{alone}"
            )
        return notes

    def points(self, cells: Array) -> Array:
        """Cells in components of training cells, float64 (n, d)."""
        return np.asarray(cells @ self.space.axes) - self.space.mean @ self.space.axes

    def shifted(self, look: Look, change: Array) -> Cellwise:
        """A change that is applied to the measured controls."""
        return self._beside(look, look.controls + change, look.controls)

    def predicted(self, look: Look, guess: Guessed) -> Cellwise:
        """Predicted cells against the controls that they were made of."""
        rows = self._some(np.flatnonzero(guess.group == look.group), guess.log)
        if len(rows) < FEWEST // 2:
            return self.shifted(look, guess.answer.change[look.group])
        named = guess.control[rows]
        if (named >= 0).all():
            controls = self.log.read(np.unique(named))
        else:
            stratum = int(self.ground.groups.stratum[look.group])
            controls = self.log.read(self._some(self._rows(0, stratum, train=True)))
        return self._beside(look, guess.log.read(rows), controls)

    def halved(
        self, look: Look, measured: Measured, turn: int, rest: Array
    ) -> tuple[Cellwise, ...]:
        """Half of the cells against the other half, and a change `rest` against the same half."""
        first, control = (measured.side(turn, r) for r in (look.rows, look.control_rows))
        real = contrast(look.cells[first], look.controls[control], look.own)
        base = look.controls[~control]
        half = look.__class__(
            look.group, look.weight, look.rows, look.cells[first], look.control_rows, base, look.own,
            real,
        )  # fmt: skip
        return self._beside(half, look.cells[~first], base), self.shifted(half, rest)

    def _beside(self, look: Look, cells: Array, controls: Array) -> Cellwise:
        guess = contrast(cells, controls, look.own)
        points = self.points(look.cells), self.points(cells)
        return Cellwise(look.weight, look.real, guess, *points)

    def _rows(self, code: int, stratum: int, *, train: bool = False) -> Array:
        rows = self.ground.train if train else self.ground.test
        here = self.ground.screen.codes[rows] == code
        return rows[here & (self.ground.strata.codes[rows] == stratum)]

    def _control(self, stratum: int) -> tuple[Array, sparse.csr_array]:
        if stratum not in self._controls:
            rows = self._some(self._rows(0, stratum))
            self._controls[stratum] = rows, sparse.csr_array(self.log.read(rows))
        return self._controls[stratum]

    def _some(self, rows: Array, log: Log | None = None) -> Array:
        return some(log or self.log, rows, CELLS, self.seed)


def room(log: Log, ground: Ground, own: tuple[Array, ...], seed: int) -> Room:
    """Components of training cells, and at most 100 perturbations, drawn by name."""
    train = some(log, ground.train, _TRAIN, seed)
    blocks = [sparse.csr_array(log.read(train[i : i + 512])) for i in range(0, len(train), 512)]
    values = sparse.csr_array(sparse.vstack(blocks, format="csr"))
    space = Space.fit(values)
    near = np.asarray(values[:: max(1, len(train) // 1_000)] @ space.axes)
    scale = float(np.median(distances(near, near)[np.triu_indices(len(near), 1)]))
    order = np.argsort(hash_names(f"{seed}\0{label}" for label in ground.labels), kind="stable")
    return Room(log, ground, own, space, scale, frozenset(order[:UNITS].tolist()), seed)


def marked(looks: list[Look]) -> Array | None:
    """The 20 genes whose ranks differ most from those of the controls; None where no cell was seen."""
    if not looks:
        return None
    z = np.abs(np.sum([look.weight * look.real.z for look in looks], axis=0))
    order = np.argsort(-z, kind="stable")[:MARKED]
    return order[z[order] > 0]


def some(log: Log, rows: Array, most: int, seed: int) -> Array:
    """At most so many rows, drawn by name and seed, in the order of the file."""
    if len(rows) <= most:
        return rows
    names = log.cells.obs_names[rows]
    order = np.lexsort((names.astype(str), hash_names(f"{seed}\0{name}" for name in names)))
    return np.sort(rows[order[:most]])
