"""Predicted cells of a screen, as changes: what each perturbation does in each stratum.

A predicted cell that names its control (`scgx_control`) is held against exactly that one, so that no
noise of controls is in its change. Where the cells of another tool name none, the mean of the training
controls of the stratum is subtracted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.cells.perturbations import is_control, read_label
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.tasks import _pairing
from scgx.tasks._centroids import Log, member, stacked
from scgx.tasks._conversion import units_of_guesses
from scgx.tasks._request import Request
from scgx.tasks._response_baselines import Answer
from scgx.tasks._responses import HALVINGS, Measured
from scgx.tasks._screened import Array, Ground, refused

CONTROL, LABEL = "scgx_control", "perturbation"
ROUNDING = 1e-4  # a change that differs by less between controls is the same for all of them


@dataclass(frozen=True, eq=False)
class Guessed:
    """One file of predictions: its answer, the group of each of its cells (n,), and their controls
    as rows of the truth (-1: none is named). `echo` (halvings, groups, genes) is how what was predicted
    from either half of the test controls differs; None where a change is the same for every control.
    """

    answer: Answer
    log: Log
    group: Array
    control: Array
    echo: Array | None = None


def guessed(
    ask: Request, ground: Ground, measured: Measured, truth: Log, mean: Answer
) -> list[Guessed]:
    """Every guess; a group without a prediction counts as the mean change."""
    names = _pairing.short_names(ask.guesses)
    return [
        _guessed(ask, guess, name, (ground, measured, truth), mean)
        for guess, name in zip(ask.guesses, names, strict=True)
    ]


def _guessed(
    ask: Request, guess: Cells, name: str, known: tuple[Ground, Measured, Log], mean: Answer
) -> Guessed:
    ground, measured, truth = known
    units = units_of_guesses([guess], "rna", ask.units, ask.warn)
    log = Log.guess(guess, _pairing.find(guess.var_names, ground.genes), units)
    unit = _units(guess, ground, name)
    control = _controls(guess, ask.truth, ground)
    stratum = _strata(guess, ground, control)
    k = len(ground.groups)
    width = len(ground.strata.names)
    place = np.full(len(ground.units) * width, -1, dtype=np.int64)
    place[ground.groups.unit * width + ground.groups.stratum] = np.arange(k)
    known_cell = (unit >= 0) & (stratum >= 0)
    group = np.full(guess.n_obs, -1, dtype=np.int64)
    group[known_cell] = place[unit[known_cell] * width + stratum[known_cell]]
    if not np.any(group >= 0):
        raise DataError(
            "predicts none of the perturbations that test",
            fix="scgx predict without --perturb answers those of the file",
            file=guess.name,
        )
    rows = np.flatnonzero(group >= 0)
    files = _Files(log, truth, rows, control[rows], measured)
    n, found = files.changes([group[rows]], ground)[0]
    own = n > 0
    bare = ~np.asarray(measured.train_control.any(axis=1))[ground.groups.stratum]
    if (control[rows] < 0).any() and np.any(bare & own):
        raise DataError(
            f"names no controls ({CONTROL}), and none of a stratum that it predicts trains",
            fix="say in obs which control each cell was made of",
            file=guess.name,
        )
    change = mean.change.copy()
    change[own] = found[own]
    _tell(guess, name, ground, own)
    echo = files.echo(group[rows], ground)
    return Guessed(Answer(name, change, own), log, group, control, echo)


@dataclass(frozen=True, eq=False)
class _Files:
    """Predicted cells `rows` of a file, and the rows of the truth that are their controls."""

    log: Log
    truth: Log
    rows: Array
    control: Array
    measured: Measured

    def changes(self, groupings: Sequence[Array], ground: Ground) -> list[tuple[Array, Array]]:
        """Cells and mean change of each group, for each way to group them (-1 is none)."""
        k = len(ground.groups)
        total = self.log.sums(self.rows, stacked([member(codes, k) for codes in groupings]))
        mean = self.measured.train_control[ground.groups.stratum]
        found = []
        for i, codes in enumerate(groupings):
            n = np.bincount(codes[codes >= 0], minlength=k)
            base = _bases(self.truth, codes, self.control, mean)
            change = (total[i * k : (i + 1) * k] - base) / np.maximum(n, 1)[:, None]
            found.append((n, change.astype(np.float32)))
        return found

    def echo(self, group: Array, ground: Ground) -> Array | None:
        """What is predicted from one half of the test controls less what is from the other."""
        if (self.control < 0).any():
            return None
        tests = np.isin(self.control, ground.test)
        found: list[Array] = []
        for turn in range(HALVINGS):
            first = self.measured.side(turn, self.control)
            halves = [np.where(tests & chosen, group, -1) for chosen in (first, ~first)]
            (n, one), (m, other) = self.changes(halves, ground)
            difference = np.where((n > 0)[:, None] & (m > 0)[:, None], one - other, 0)
            if not turn and np.abs(difference).max(initial=0) <= ROUNDING:
                return None
            found.append(difference)
        return np.array(found)


def _units(guess: Cells, ground: Ground, name: str) -> Array:
    """The perturbation of each predicted cell, as a place among the scored ones; -1 is none."""
    column = LABEL if LABEL in guess.obs else ground.screen.column
    if column not in guess.obs:
        raise DataError(
            f"no column of obs says which perturbation was predicted ({LABEL})", file=guess.name
        )
    words = guess.obs.strings(column)
    place = {label: i for i, label in enumerate(ground.labels)}
    known = {
        word: -1 if is_control(word) else place.get(read_label(word).label, -1)
        for word in {word for word in words if word is not None}
    }
    known_labels = {one.label for one in ground.screen.conditions}
    others = sorted(w for w, code in known.items() if code < 0 and not is_control(w))
    if others:
        strange = sum(read_label(word).label not in known_labels for word in others)
        ground.notes.append(
            f"{name}: {len(others):,} predicted perturbations do not test and are not scored"
            + (f" ({strange:,} are not in the screen)" if strange else "")
        )
    return np.array([-1 if w is None else known[w] for w in words], dtype=np.int64)


def _controls(guess: Cells, truth: Cells, ground: Ground) -> Array:
    """The row of the truth that each predicted cell was made of; -1 where the file names none."""
    if CONTROL not in guess.obs:
        return np.full(guess.n_obs, -1, dtype=np.int64)
    words = guess.obs.strings(CONTROL)
    found = _pairing.find(truth.obs_names, words)
    lost = np.flatnonzero(found < 0)
    if len(lost):
        raise DataError(
            f"{len(lost):,} of its controls are not in the truth: {words[lost[0]]!r}",
            fix="score the file it was predicted from",
            file=guess.name,
        )
    odd = int(np.count_nonzero(ground.screen.codes[found] != 0))
    if odd:
        raise DataError(f"{odd:,} of its controls were perturbed", file=guess.name)
    return found


def _strata(guess: Cells, ground: Ground, control: Array) -> Array:
    """The stratum of each predicted cell: that of its control, else what its own columns say."""
    strata = ground.strata
    if (control >= 0).all() or len(strata.names) == 1:
        return strata.codes[control] if (control >= 0).all() else np.zeros(guess.n_obs, np.int64)
    for column in strata.columns:
        if column not in guess.obs:
            raise DataError(
                f"has neither {CONTROL} nor {column} in obs, so its controls are not known",
                fix="copy the column of the truth to the predicted cells",
                file=guess.name,
            )
    return strata.of(guess.obs)


def _bases(truth: Log, group: Array, control: Array, mean: Array) -> Array:
    """Sums over the predicted cells of each group of what is subtracted, float64 (groups, genes)."""
    k = len(mean)
    kept = group >= 0
    group, control = group[kept], control[kept]
    named = control >= 0
    n = np.bincount(group[~named], minlength=k)
    base = mean.astype(np.float64) * n[:, None]
    if named.any():
        rows, place = np.unique(control[named], return_inverse=True)
        marks = (np.ones(len(place)), (group[named], place.reshape(-1)))
        times = sparse.csr_array(sparse.coo_array(marks, shape=(k, len(rows))))
        base += truth.sums(rows, times)
    return base


def _tell(guess: Cells, name: str, ground: Ground, own: Array) -> None:
    """Say which perturbations the guess lacks."""
    have = np.bincount(ground.groups.unit[own], minlength=len(ground.units)) > 0
    lacking = [label for label, there in zip(ground.labels, have, strict=True) if not there]
    if not lacking:
        return
    why = refused(guess)
    shown = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3:,} more" if len(lacking) > 3 else "")
    words = f"{name} does not answer {shown}: scored as the mean of the training perturbations"
    reasons = sorted({why[label] for label in lacking if label in why})
    ground.notes.append(words + (f" ({reasons[0]})" if reasons else ""))
