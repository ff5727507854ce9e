"""The cells of a screen that a score rests on: who is perturbed, in which stratum, in which part.

Perturbed cells are compared with controls of their own stratum (a cell type, a batch, a donor). A
perturbation in a stratum is a group; what is scored are perturbations, over their groups by cells.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.cells.perturbations import (
    STRATA,
    Perturbation,
    Screen,
    familiarity,
    is_screen,
    require_cells,
    screen_of,
)
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.frame import Frame
from scgx.h5ad.measured import measured_of
from scgx.registry import suggest
from scgx.tasks import _pairing
from scgx.tasks._request import Request

Array = np.ndarray

FEWEST = 2  # controls of a stratum that test, so that there are two halves
SEEN, ELSEWHERE = "seen", "seen_in_another_stratum"


class Strata(NamedTuple):
    """Columns of obs, the combinations of their levels, and that of every cell (n,); -1 is none."""

    columns: tuple[str, ...]
    names: tuple[str, ...]
    codes: Array

    def of(self, obs: Frame) -> Array:
        """Strata of the cells of another table, which has the columns."""
        place = {name: code for code, name in enumerate(self.names)}
        return np.array([place.get(str(n), -1) for n in _named(obs, self.columns)], dtype=np.int64)


class Groups(NamedTuple):
    """Perturbations within strata that test: (groups,) of perturbation, stratum, cells and weight.

    The weights of a perturbation add up to one.
    """

    unit: Array
    stratum: Array
    cells: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.unit)


class Ground(NamedTuple):
    """All of it: `units` are the scored perturbations, `kinds` says how new each of them is."""

    screen: Screen
    strata: Strata
    split: _pairing.Split
    groups: Groups
    units: tuple[Perturbation, ...]
    kinds: tuple[str, ...]
    genes: Array
    columns: Array
    train: Array
    test: Array
    left_out: int
    notes: list[str]

    @property
    def labels(self) -> list[str]:
        """Canonical names of what is scored."""
        return [one.label for one in self.units]

    def trained(self) -> Array:
        """Codes of the perturbations that training rows have."""
        codes = self.screen.codes[self.train]
        return np.unique(codes[codes > 0])


def ground(ask: Request) -> Ground:
    """Who is scored; DataError where nothing can be."""
    truth = ask.truth
    for cells in (truth, *ask.guesses):
        cells.require_unique("obs", "var")
    notes: list[str] = []
    screen = _screen(ask)
    strata = _strata(ask, screen, notes)
    if "split" not in truth.obs or not np.any(truth.obs.strings("split") == "train"):
        raise DataError(
            "responses are scored on a screen with train and test rows",
            fix="scgx split --by perturbation makes them",
            file=truth.name,
        )
    split = _pairing.split_of(truth)
    notes += split.notes
    usable = (screen.codes >= 0) & (strata.codes >= 0)
    test = np.sort(split.test[usable[split.test]])
    seen = _pairing.trained(truth, ask.guesses, test, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    test, train = test[~seen], np.sort(split.train[usable[split.train]])
    test = _with_controls(truth, screen, strata, train, test, notes)
    require_cells(screen, test)
    codes = np.unique(screen.codes[test][screen.codes[test] > 0])
    units = tuple(screen.conditions[code] for code in codes)
    groups = _groups(screen, strata, codes, test)
    kinds = _kinds(screen, strata, codes, train, groups)
    genes, columns = _genes(truth, ask.guesses, np.concatenate([train, test]), notes)
    return Ground(
        screen, strata, split, groups, units, kinds, genes, columns, train, test, left_out, notes
    )  # fmt: skip


def facts_of(guess: Cells) -> dict[str, object]:
    """What a guess says of the model that made it."""
    recorded = guess.scgx.get("model")
    return json.loads(recorded) if isinstance(recorded, str) else {}


def refused(guess: Cells) -> dict[str, str]:
    """Perturbations that the model of a guess would not answer, and why."""
    recorded = guess.scgx.get("refused")
    return json.loads(recorded) if isinstance(recorded, str) else {}


def _screen(ask: Request) -> Screen:
    """The perturbations of the truth, by the column that is asked for or that guesses name."""
    obs = ask.truth.obs
    named = {str(facts_of(guess).get("label") or "") for guess in ask.guesses} - {""}
    if ask.label is None and len(named) > 1:
        raise UsageError("the guesses name several columns", fix="choose one with --label")
    column = ask.label or next(iter(named), None)
    if column == "perturbation" and column not in obs:
        column = None
    said = {str(facts_of(guess).get("control") or "") for guess in ask.guesses} - {""}
    if column in obs and len(said) == 1 and said <= set(obs.strings(str(column)).tolist()):
        return screen_of(obs, column, said.pop(), genes=ask.truth.var_names)
    control = None
    if "split_control" in obs and (column is None or not is_screen(obs, column)):
        by = column or str(_recorded(ask.truth).get("by") or "")
        if by in obs:
            marked = obs.strings("split_control") == "True"
            words = {word for word in obs.strings(by)[marked] if word is not None}
            column, control = by, words.pop() if len(words) == 1 else None
    try:
        return screen_of(obs, column, control, genes=ask.truth.var_names)
    except DataError as error:
        if "--control" in (error.fix or ""):  # an option of split and train
            error.fix = "scgx split --by COLUMN --control VALUE marks them"
        raise


def _recorded(cells: Cells) -> dict[str, object]:
    recorded = cells.scgx.get("split")
    return json.loads(recorded) if isinstance(recorded, str) else {}


def _strata(ask: Request, screen: Screen, notes: list[str]) -> Strata:
    """By --covariate, else by what the guesses were made with."""
    columns = tuple(ask.covariates)
    if not columns:
        told = [facts_of(guess).get("covariates") for guess in ask.guesses]
        found = {tuple(map(str, each)) for each in told if isinstance(each, list)}
        if len(found) > 1:
            raise UsageError("the guesses match controls in several ways", fix="name --covariate")
        columns = found.pop() if found else ()
    obs = ask.truth.obs
    for column in columns:
        if column not in obs:
            near = suggest(column, list(obs.columns))
            raise DataError(f"obs has no column {column!r} to match controls by", fix=near)
    if screen.column in columns:
        raise UsageError(f"{screen.column} is what was done, and no covariate")
    names = _named(obs, columns)
    if not columns:
        notes += [
            f"controls of {len(levels):,} levels of {one} are pooled (--covariate {one}: within)"
            for one in STRATA
            if one in obs and one != screen.column
            for levels in (set(obs.strings(one).tolist()) - {None},)
            if len(levels) > 1
        ]
    levels = sorted({name for name in names if name is not None})
    place = {name: code for code, name in enumerate(levels)}
    codes = np.array([place.get(n, -1) if n is not None else -1 for n in names], dtype=np.int64)
    return Strata(columns, tuple(levels), codes)


def _named(obs: Frame, columns: Sequence[str]) -> list[str | None]:
    """The stratum of each cell in words; None where a level is missing."""
    if not columns:
        return ["all cells"] * len(obs)
    levels = zip(*(obs.strings(column).tolist() for column in columns), strict=True)
    return [None if None in each else ", ".join(each) for each in levels]


def _with_controls(
    truth: Cells, screen: Screen, strata: Strata, train: Array, test: Array, notes: list[str]
) -> Array:
    """The test rows of strata that have controls among them."""
    width = len(strata.names)
    control = screen.control
    have = [
        np.bincount(strata.codes[rows[control[rows]]], minlength=width) for rows in (train, test)
    ]
    able = have[1] >= FEWEST
    if not able.any() or not have[0].any():
        raise DataError(
            "no control cells train, or none test in any stratum",
            fix="scgx split --by perturbation spreads them; --covariate sets the strata",
            file=truth.name,
        )
    kept = test[able[strata.codes[test]]]
    if not np.any(screen.codes[kept] > 0):
        raise DataError(
            "no perturbed cell tests, in a stratum with controls",
            fix="scgx split --by perturbation",
            file=truth.name,
        )
    if lost := int(np.count_nonzero(~able[strata.codes[test]] & ~control[test])):
        notes.append(f"{lost:,} perturbed cells have no controls of their stratum: left out")
    there = np.unique(strata.codes[kept])
    if new := [strata.names[code] for code in there if not have[0][code]]:
        notes.append(
            f"nothing of {'; '.join(new[:3])} trains: its shared controls are those that test"
        )
    return kept


def _groups(screen: Screen, strata: Strata, codes: Array, test: Array) -> Groups:
    perturbed = test[screen.codes[test] > 0]
    unit = np.searchsorted(codes, screen.codes[perturbed])
    width = len(strata.names)
    keys, cells = np.unique(unit * width + strata.codes[perturbed], return_counts=True)
    whole = np.bincount(unit)
    return Groups(keys // width, keys % width, cells, cells / whole[keys // width])


def _kinds(
    screen: Screen, strata: Strata, codes: Array, train: Array, groups: Groups
) -> tuple[str, ...]:
    """How new each perturbation is; the same one may have been seen, there or in another stratum."""
    singles = [
        screen.conditions[code].targets[0]
        for code in np.unique(screen.codes[train])
        if len(screen.conditions[code].targets) == 1
    ]
    seen = set(zip(screen.codes[train].tolist(), strata.codes[train].tolist(), strict=True))
    known = {code for code, _ in seen}
    kinds = []
    for unit, code in enumerate(codes.tolist()):
        here = groups.stratum[groups.unit == unit].tolist()
        if any((code, stratum) in seen for stratum in here):
            kinds.append(SEEN)
        elif code in known:
            kinds.append(ELSEWHERE)
        else:
            kinds.append(familiarity(screen.conditions[code], singles))
    return tuple(kinds)


def _genes(
    truth: Cells, guesses: Sequence[Cells], rows: Array, notes: list[str]
) -> tuple[Array, Array]:
    """Genes that all files have and all datasets measured, by name, and their columns in the truth."""
    columns = columns_of(truth, "rna")
    if (measured := measured_of(truth)) is not None:
        known = measured.mask[columns][:, np.unique(measured.codes[rows])].all(axis=1)
        notes.append(f"{int(known.sum()):,} of {len(known):,} genes were measured by all datasets")
        columns = columns[known]
    every = truth.var_names[columns]
    shared = set(every.tolist())
    for guess in guesses:
        shared &= set(guess.var_names.tolist())
        if len(shared) < 3:
            raise DataError(
                f"shares {len(shared)} genes with {truth.name}",
                fix="names of features must agree; scgx info shows them",
                file=guess.name,
            )
    if len(shared) < len(every):
        notes.append(f"{len(shared):,} of {len(every):,} genes are in every guess")
    genes = np.array(sorted(shared), dtype=object)
    return genes, columns[_pairing.find(every, genes)]
