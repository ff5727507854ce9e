"""What `split` asks of a table of cells, and what it answers: a column, a record, a table."""

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from scgx.cells import split, unseen
from scgx.cells.perturbations import (
    COLUMNS,
    CONTROL,
    Screen,
    is_screen,
    parse,
    require_cells,
    screen_of,
)
from scgx.cells.split import PARTS, Array, Fractions
from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import Frame, categorical
from scgx.registry import suggest

DEFAULT = Fractions(0.7, 0.1, 0.2)


class Request(NamedTuple):
    """The options of `scgx split`."""

    by: str | None = None
    stratify: str | None = None
    fractions: str | None = None
    test: list[str] = []
    val: list[str] = []
    from_column: str | None = None
    control: str | None = None
    seed: int = 0
    unseen: str | None = None


class Assigned(NamedTuple):
    """The cells with their parts, the record for uns, and what to say."""

    obs: Frame
    record: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]
    warnings: list[str]


def assign(obs: Frame, request: Request, name: str, *, genes: Collection[str] = ()) -> Assigned:
    """Split a table of cells. DataError names the file where the request cannot be met.

    `genes`, the features of the file, tell pairs of targets from names with an underscore.
    """
    try:
        if not len(obs):
            raise DataError("has no cells to split")
        screen = _screen(obs, request, genes)
        if screen is not None:
            return _assign_screen(obs, request, screen)
        made = _assign(obs, request)
        return made._replace(notes=[*_no_screen(obs, request), *made.notes])
    except DataError as error:
        error.file = error.file or name
        raise


def _assign(obs: Frame, request: Request) -> Assigned:
    fractions = split.parse_fractions(request.fractions) if request.fractions else DEFAULT
    controls, control_word = _controls(obs, request)
    groups = _groups(obs, request.by, controls) if request.by else None
    if request.from_column:
        parts = _from_column(obs, request.from_column)
    elif groups is None:
        parts = _by_cell(obs, request, fractions)
    else:
        parts = _by_group(obs, groups, controls, request, fractions)
    return _made(obs, request, groups, parts, controls, control_word)


def _screen(obs: Frame, request: Request, genes: Collection[str]) -> Screen | None:
    """The column of --by as a screen, where it is one with at least three perturbations, or of which
    some are named.
    """
    by = request.by
    column, _, value = (request.control or "").rpartition("=")
    if by is None or (column and column != by):
        known = None
    elif by == "perturbation" and by not in obs:
        known = screen_of(obs, None, value or None, genes=genes)
    elif request.unseen or is_screen(obs, by) or (value and by in COLUMNS and by in obs):
        known = screen_of(obs, by, value or None, genes=genes)
    else:
        known = None
    if request.unseen and known is None:
        raise UsageError("--unseen belongs to a column of perturbations", fix="--by perturbation")
    asked = request.unseen or request.test or request.val
    return known if known is None or asked or len(known.conditions) > 3 else None


def _no_screen(obs: Frame, request: Request) -> list[str]:
    """Why a column with the name of a screen is split as any other."""
    by = request.by
    if by not in COLUMNS or by not in obs or request.control or request.from_column:
        return []
    if is_screen(obs, by):
        return [
            f"{by} has too few perturbations to deal: its controls are a group of one part"
            " (--test NAME spreads them)"
        ]
    return [f"no cell of {by} is a control by its name: no screen, split as any column (--control)"]


def _assign_screen(obs: Frame, request: Request, screen: Screen) -> Assigned:
    """Whole perturbations, by canonical name; the controls cell by cell."""
    require_cells(screen)
    fractions = split.parse_fractions(request.fractions) if request.fractions else DEFAULT
    named = {2: _canonical(request.test), 1: _canonical(request.val)}
    labels = np.array([*screen.labels, None], dtype=object)[screen.codes]
    fixed = split.settle(named, np.array(screen.labels[1:], dtype=object))
    share = fractions
    if fixed:
        others = _of_the_others(fractions, set(fixed.values()))
        share = others if request.fractions else Fractions(1.0, 0.0, 0.0)
    dealt = unseen.deal(
        screen, request.unseen or "conditions", share, seed=request.seed, fixed=fixed
    )
    parts = dealt[screen.codes]
    rest = screen.codes < 0
    strata = _labels(obs, request.stratify) if request.stratify else None
    for cells, shares in ((screen.control, unseen.CONTROLS), (rest, Fractions(1.0, 0.0, 0.0))):
        own = None if strata is None else strata[cells]
        if cells.any():
            parts[cells] = split.by_cell(obs.index[cells], shares, seed=request.seed, strata=own)
    word = f"{screen.column}={CONTROL}"
    made = _made(obs, request, labels, parts, screen.control, word)
    notes = [f"{len(screen.conditions) - 1:,} perturbations in {screen.column}"]
    if screen.renamed:
        notes[0] += f", {screen.renamed:,} labels read as canonical names (A+B)"
    if rest.any():
        notes.append(f"{int(rest.sum()):,} cells have no {screen.column} and train")
    news = unseen.table(screen, dealt)
    notes += [f"{kind}: {val} in val, {test} in test" for kind, val, test in news]
    return made._replace(notes=notes + made.notes)


def _canonical(names: Sequence[str]) -> list[str]:
    return [parse(name).label for name in names]


def _made(
    obs: Frame,
    request: Request,
    groups: Array | None,
    parts: Array,
    controls: Array,
    control_word: str | None,
) -> Assigned:
    """The column, the record and the tables of a split that is decided."""
    fractions = split.parse_fractions(request.fractions) if request.fractions else DEFAULT
    _refuse_torn_names(obs.index, parts)
    frame = obs.with_column("split", categorical((PARTS[part] for part in parts), PARTS))
    frame = frame.with_column("split_control", controls) if control_word else frame
    notes, warnings = _remarks(groups, parts, controls, request)
    named = bool(request.test or request.val) and not request.fractions
    plain = request.from_column is not None or named
    record = {
        "by": request.by,
        "stratify": request.stratify,
        "fractions": None if plain else list(fractions),
        "seed": request.seed,
        "id": split.identity(obs.index, parts),
        "counts": dict(zip(PARTS, np.bincount(parts, minlength=3).tolist(), strict=True)),
        "unit": "column" if request.from_column else "group" if request.by else "cell",
        "from_column": request.from_column,
        "control": control_word,
    }
    if request.unseen:
        record["unseen"] = request.unseen
    text = json.dumps(record, sort_keys=True)
    columns, rows = _table(groups, parts, controls)
    return Assigned(frame, text, columns, rows, notes, warnings)


def _by_cell(obs: Frame, request: Request, fractions: Fractions) -> Array:
    strata = _labels(obs, request.stratify) if request.stratify else None
    return split.by_cell(obs.index, fractions, seed=request.seed, strata=strata)


def _by_group(
    obs: Frame, groups: Array, controls: Array, request: Request, fractions: Fractions
) -> Array:
    """Whole groups for what is perturbed, cell by cell for the controls."""
    rest = ~controls
    strata = _labels(obs, request.stratify) if request.stratify else None
    fixed = split.settle({2: request.test, 1: request.val}, groups[rest])
    share = fractions
    if fixed and not request.fractions:
        share = Fractions(1.0, 0.0, 0.0)  # what is not named trains
    elif fixed:
        share = _of_the_others(fractions, set(fixed.values()))
    parts = np.zeros(len(obs), dtype=np.int8)
    own = None if strata is None else strata[rest]
    parts[rest] = split.by_group(groups[rest], share, seed=request.seed, strata=own, fixed=fixed)
    if controls.any():
        spread = Fractions(*(np.bincount(parts[rest], minlength=3) / rest.sum()).tolist())
        spread = spread if fixed else fractions
        parts[controls] = split.by_cell(obs.index[controls], spread, seed=request.seed)
    return parts


def _of_the_others(fractions: Fractions, named: set[int]) -> Fractions:
    """The shares of the parts that no group was named for, brought to a sum of one."""
    left = [0.0 if part in named else share for part, share in enumerate(fractions)]
    total = sum(left)
    return Fractions(*(share / total for share in left)) if total else Fractions(1.0, 0.0, 0.0)


def _from_column(obs: Frame, column: str) -> Array:
    _labels(obs, column)
    true_is = 2 if column.lower().endswith("test") else 0
    return split.from_labels(obs.strings(column).tolist(), true_is=true_is)


def _controls(obs: Frame, request: Request) -> tuple[Array, str | None]:
    """Mask of the control cells, and `COLUMN=VALUE` for the record."""
    if not request.control:
        return np.zeros(len(obs), dtype=bool), None
    column, mark, value = request.control.rpartition("=")
    column = column if mark else str(request.by)
    labels = _labels(obs, column)
    controls = labels == value
    if not controls.any():
        known = sorted({str(label) for label in labels})
        raise DataError(f"no cell has {column} {value!r}", fix=suggest(value, known[:200]))
    if controls.all():
        raise DataError(f"every cell has {column} {value!r}")
    return controls, f"{column}={value}"


def _groups(obs: Frame, by: str, controls: Array) -> Array:
    groups = _labels(obs, by)
    missing = sum(group is None for group in groups[~controls])
    if missing:
        raise DataError(
            f"{missing:,} cells have no {by}", fix="leave them out, or name their group"
        )
    return groups


def _labels(obs: Frame, column: str) -> Array:
    if column not in obs:
        near = suggest(column, list(obs.columns))
        raise DataError(f"no column {column!r} in obs", fix=near)
    return obs.strings(column)


def _refuse_torn_names(names: Array, parts: Array) -> None:
    """Names pair cells later on: one name in two parts would be a leak."""
    if len(set(names)) < len(names) and (leaks := split.torn(names, parts)):
        raise DataError(
            f"{len(leaks):,} cell names are in two parts, such as {leaks[0]!r}",
            fix="make cell names unique first",
        )


def _remarks(
    groups: Array | None, parts: Array, controls: Array, request: Request
) -> tuple[list[str], list[str]]:
    notes, warnings = [], []
    if groups is None and not request.from_column:
        notes.append(
            "cells are split one by one: cells of one donor are in train and in test (--by)"
        )
    if controls.any():
        notes.append(f"{int(controls.sum()):,} control cells are spread over all parts")
    if groups is not None and request.from_column:
        both = split.torn(groups, parts)
        if both:
            warnings.append(
                f"{len(both):,} groups of {request.by} are in two parts, such as {both[0]!r}"
            )
    return notes, warnings


def _table(
    groups: Array | None, parts: Array, controls: Array
) -> tuple[list[str], list[list[str]]]:
    counts = np.bincount(parts, minlength=3)
    columns = ["part", "cells", "share"]
    rows = [
        [p, f"{n:,}", f"{n / max(1, len(parts)):.3f}"] for p, n in zip(PARTS, counts, strict=True)
    ]
    if groups is not None:
        columns += ["groups", "which"]
        for part, row in enumerate(rows):
            here = sorted({str(group) for group in groups[(parts == part) & ~controls]})
            shown = ", ".join(here[:6]) + (" ..." if len(here) > 6 else "")
            row += [f"{len(here):,}", shown]
    return columns, rows
