"""Matches in the order of the scored cells: who is the partner of whom, by name, and who is asked."""

import json
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad import obsm
from scgx.h5ad.cells import Cells
from scgx.metrics._matching import Array, Labels, Match
from scgx.tasks import _pairing
from scgx.tasks._request import Request

SPACE = "X_common"


@dataclass(frozen=True)
class Side:
    """A guess in the order of the scored cells: row i and column i are one cell."""

    name: str
    match: Match
    coverage: float


@dataclass
class Ground:
    """The scored cells by name, their rows in the truth, and guesses about them."""

    split: _pairing.Split
    rows: Array
    names: Array
    guesses: list[Side]
    classes: tuple[str, ...]
    left_out: int
    notes: list[str]


def ground_of(ask: Request) -> Ground:
    """Test cells that are a column of every guess, in the order of names; DataError without one."""
    truth = ask.truth
    for column in (ask.label, ask.by, *ask.per):
        if column is not None:
            truth.obs.strings(column)  # refuses an unknown one, and names the nearest
    split = _pairing.split_of(truth)
    notes = list(split.notes)
    if not split.found:
        notes.append("the truth has no split: all its rows are scored")
    position = {name: i for i, name in enumerate(truth.obs_names)}
    truth.require_unique("obs")
    for guess in ask.guesses:
        guess.require_unique("obs", "var")
        _pairing.refuse_strangers(guess, position)
        if not set(guess.var_names.tolist()) & position.keys():
            raise DataError(
                f"its columns are no cells of the truth ({guess.var_names[0]!r})",
                fix="scgx align writes a match",
                file=guess.name,
            )
    rows = split.test[np.argsort(truth.obs_names[split.test].astype(str), kind="stable")]
    seen = _pairing.trained(truth, ask.guesses, rows, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    rows = rows[~seen]
    names = truth.obs_names[rows]
    there = np.all([_pairing.find(g.var_names, names) >= 0 for g in ask.guesses], axis=0)
    if not there.any():
        raise DataError("no test cell is a column of every guess", file=ask.guesses[0].name)
    if not there.all():
        notes.append(f"{int((~there).sum()):,} test cells have no column in every guess: left out")
    rows, names = rows[there], names[there]
    words = truth.obs.strings(ask.label) if ask.label else None
    known = [] if words is None else [w for w in words if w is not None]
    classes = tuple(sorted(set(known)))
    codes = None
    if words is not None:
        place = {word: code for code, word in enumerate(classes)}
        codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    labels = _pairing.short_names(ask.guesses)
    sides = []
    for guess, label in zip(ask.guesses, labels, strict=True):
        sides.append(_side(guess, label, truth, names, codes, notes))
    return Ground(split, rows, names, sides, classes, left_out, notes)


def _side(
    guess: Cells, label: str, truth: Cells, names: Array, codes: Array | None, notes: list[str]
) -> Side:
    """A guess by names: its columns so that the partner of row i is column i."""
    rows, columns = _pairing.find(guess.obs_names, names), _pairing.find(guess.var_names, names)
    covered = float(np.mean(rows >= 0))
    if covered == 0:
        raise DataError("holds none of the test rows", file=guess.name)
    if covered < 1:
        notes.append(
            f"{label} covers {covered:.1%} of the scored cells; others are without weights"
        )
    others = np.setdiff1d(np.arange(guess.n_var), columns)
    order = np.concatenate([columns, others])
    weights = _weights(guess, rows, order)
    places = _places(guess, rows, order)
    if places is None:
        notes.append(f"{label} has no {SPACE}: who is nearest is judged by its weights")
    groups, by = None, str(facts_of(guess).get("by") or "")
    everyone = _pairing.find(truth.obs_names, guess.var_names[order])
    if by and by in truth.obs:
        level = np.unique(truth.obs.strings(by).astype(str), return_inverse=True)[1]
        column = np.where(everyone >= 0, level[everyone], -1)
        groups = (column[: len(names)], column)
        notes.append(f"{label} was matched within {by}: only those cells are candidates")
    kinds = None
    if codes is not None:
        kind = np.where(everyone >= 0, codes[everyone], -1)
        kinds = Labels(kind[: len(names)], kind)
    parts = np.zeros(len(names), dtype=np.intp)
    match = Match(weights, parts, 0.0, places, groups, kinds, space=_space(guess, places))
    return Side(label, match, covered)


def _space(guess: Cells, places: tuple[Array, Array] | None) -> int | None:
    """How many coordinates are of the common space, where the guess says so."""
    said = facts_of(guess).get("dimensions")
    if isinstance(said, int) and places is not None and 0 < said <= places[0].shape[1]:
        return said
    return None


def _weights(guess: Cells, rows: Array, order: Array) -> sparse.csr_array:
    """X in the order of the scored cells, no weight below zero, rows divided by their sum."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    blocks = []
    for start in range(0, len(rows), 4_096):
        part = rows[start : start + 4_096]
        block = sparse.csr_array(guess.rows("X", np.maximum(part, 0)), dtype=np.float64)
        if not np.isfinite(block.data).all():
            raise DataError("X holds weights that are not finite", file=guess.name)
        block.data = np.maximum(block.data, 0)
        keep = np.repeat(part >= 0, np.diff(block.indptr))
        block.data[~keep] = 0
        total = np.asarray(block.sum(axis=1)).ravel()
        block.data /= np.repeat(np.where(total > 0, total, 1), np.diff(block.indptr))
        made = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
        made.eliminate_zeros()
        blocks.append(made)
    return sparse.vstack(blocks, format="csr")


def _places(guess: Cells, rows: Array, order: Array) -> tuple[Array, Array] | None:
    if not (guess.has(f"obsm/{SPACE}") and guess.has(f"varm/{SPACE}")):
        return None
    left, right = obsm.places_of(guess, f"obsm/{SPACE}"), obsm.places_of(guess, f"varm/{SPACE}")
    if left.shape[1] != right.shape[1]:
        raise DataError(f"{SPACE} of rows and of columns are not in one space", file=guess.name)
    if (rows < 0).any():
        return None
    return left[rows], right[order]


def facts_of(guess: Cells) -> dict[str, object]:
    """What `scgx align` wrote of a match; empty where it did not."""
    recorded = guess.scgx.get("matching")
    facts = json.loads(recorded) if isinstance(recorded, str) else {}
    return facts if isinstance(facts, dict) else {}
