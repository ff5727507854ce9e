"""Which perturbations are asked for: in words, by a table, or by what the file itself has."""

import csv
from collections.abc import Mapping
from pathlib import Path

from scgx.cells.perturbations import (
    COLUMNS,
    Perturbation,
    Screen,
    is_control,
    is_screen,
    parse,
    screen_of,
)
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.learn.artifact import Screened
from scgx.learn.knobs import read_lines


def read_wanted(path: Path) -> tuple[str, ...]:
    """Perturbations of a table of cells or of perturbations, each once, the controls left out.

    They are its column `perturbation`, `condition` or another known name, of a TSV or CSV; a text
    without such a column is one perturbation a line. DataError where it names none.
    """
    lines = [line for line in read_lines(path) if line.strip()]
    head = lines[0] if lines else ""
    comma = "\t" not in head and any(name in next(csv.reader([head])) for name in COLUMNS)
    rows = list(csv.reader(lines)) if comma else [line.split("\t") for line in lines]
    column = next((rows[0].index(name) for name in COLUMNS if rows and name in rows[0]), None)
    if column is None and any(len(row) > 1 for row in rows):
        raise DataError(
            "has no column that names perturbations",
            fix="a column `perturbation`, or one perturbation a line",
            file=str(path),
        )
    place, named = (0, rows) if column is None else (column, rows[1:])
    if short := next((i for i, row in enumerate(rows, 1) if len(row) <= place), 0):
        raise DataError(f"line {short} has no {rows[0][place]}", file=str(path))
    words = (row[place].strip() for row in named)
    wanted = tuple(dict.fromkeys(word for word in words if word and not is_control(word)))
    if not wanted:
        raise DataError(
            "names no perturbation",
            fix="a column `perturbation`, or one perturbation a line",
            file=str(path),
        )
    return wanted


def by_symbol(one: Perturbation, symbols: Mapping[str, str]) -> Perturbation:
    """Targets that were given as ids, by the symbols that the model knows them by."""
    doses = {symbols.get(target, target): dose for target, dose in zip(one.targets, one.doses)}
    ordered = sorted(doses.items())
    return Perturbation(tuple(t for t, _ in ordered), tuple(d for _, d in ordered))


def parsed(text: str, symbols: Mapping[str, str]) -> Perturbation:
    """What a person asks for; DataError for what perturbs nothing."""
    one = by_symbol(parse(text), symbols)
    if not one.targets:
        raise DataError(f"{text!r} perturbs nothing", fix="--perturb GENE, or A+B")
    return one


def screen_in(cells: Cells, told: Screened, *, needed: bool) -> Screen | None:
    """The perturbations of a file, for a model of `told`; None where all of its cells are controls."""
    if told.column not in cells.obs:
        if needed:
            fix = "--perturb GENE says what is asked"
            raise DataError(f"has no {told.column} in obs", fix=fix, file=cells.name)
        return None
    words = {word for word in cells.obs.strings(told.column) if word is not None}
    control = told.control if told.control in words else None
    if not needed and (words == {control} or all(map(is_control, words))):
        return None
    if not needed and len(words) < 2 and not is_screen(cells.obs, told.column):
        return None
    try:
        return screen_of(cells.obs, told.column, control, genes=cells.var_names)
    except DataError as error:
        word = repr(told.control) if told.control else "control, non-targeting ..."
        raise DataError(
            error.what, fix=f"the model takes {word} as its controls", file=cells.name
        ) from error
