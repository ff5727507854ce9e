"""The truth in the units of the guess, by the same functions that made the guess's units."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from scgx.cells import normalize
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.measured import measured_of
from scgx.h5ad.units import UNITS, counts_key, declared, units_of
from scgx.tasks._rows import Array, Convert, as_they_are

LINEAR = ("counts", "binary", "log1p-counts", "scaled-counts")
METHODS = {"log1p-cp10k": "log1p", "tfidf": "tfidf", "clr": "clr", "binary": "binary"}


Values: TypeAlias = sparse.csr_array | Array


def as_counts(block: Values) -> Values:
    """Linear values are counts already, or will do for them."""
    return block


class Reading(NamedTuple):
    """Where the truth is read and what is done to it; `depth`: it needs the totals of cells.

    `linear` gives what the totals are sums of; `recorded`: a recorded total would do as well.
    `centred`: not totals are needed but means of ln(1 + x) over all features of the modality.
    """

    key: str
    convert: Convert
    units: str
    recipe: str
    depth: bool = False
    linear: Callable[[Values], Values] = as_counts
    recorded: bool = True
    centred: bool = False


def units_of_guesses(
    guesses: Sequence[Cells], modality: str, given: str | None, warn: Callable[[str], None]
) -> str:
    """The one unit of all guesses: declared, else `given` (--units), else detected, and warned of."""
    if given is not None and given not in UNITS:
        raise DataError(f"no unit named {given!r}", fix="there is " + ", ".join(UNITS))
    found = {guess.name: _units_of(guess, modality, given, warn) for guess in guesses}
    if len(set(found.values())) > 1:
        words = ", ".join(f"{name} is {unit}" for name, unit in found.items())
        raise DataError(f"guesses in several units: {words}", fix="score them one by one")
    return next(iter(found.values()))


def _units_of(guess: Cells, modality: str, given: str | None, warn: Callable[[str], None]) -> str:
    stated = declared(guess, "X", modality) or given
    guessed = stated is None
    if stated is None:
        stated = units_of(guess, "X")
        if modality == "atac" and stated not in ("counts", "tfidf"):
            stated = "binary"
    if stated in ("unknown", "scaled"):
        raise DataError(
            f"the units of its values are {stated}",
            fix="state them: --units log1p-cp10k",
            file=guess.name,
        )
    if guessed:
        warn(
            f"{guess.name} does not say its units, and is taken for {stated} (--units states them)"
        )
    return stated


def reading(truth: Cells, modality: str, units: str, layer: str | None) -> Reading:
    """How to read the truth in `units`; DataError names the command that converts."""
    key = "X" if layer is None or layer == "X" else f"layers/{layer}"
    own = units_of(truth, key, modality)
    if own == units:
        return Reading(key, as_they_are, units, "as stored")
    if units == "binary" and own not in ("scaled", "clr", "unknown"):
        return Reading(key, _presence, units, "1 where a value is above zero")
    made = from_counts(units)
    if made is None or (layer is not None and own not in LINEAR):
        method = METHODS.get(units, "log1p")
        raise DataError(
            f"the guess is {units}, the truth is {own}",
            fix=f"scgx normalize --method {method} makes a truth in {units}",
            file=truth.name,
        )
    if made.depth and own in (
        ("log1p-counts",) if made.centred else ("log1p-counts", "scaled-counts")
    ):
        linear = normalize.counts_from_log1p if own == "log1p-counts" else as_counts
        convert = made.convert
        return made._replace(
            key=key,
            linear=linear,
            recorded=own == "log1p-counts",
            convert=lambda block, totals: convert(linear(block), totals),
        )
    return made._replace(key=key if layer is not None else counts_key(truth, modality))


def from_counts(units: str) -> Reading | None:
    """How counts become `units` (the key is left empty); None where that needs a fitted recipe."""
    makers: dict[str, tuple[Convert, str, bool]] = {
        "log1p-cp10k": (normalize.log1p_cp10k, "ln(1 + 10,000 counts / total)", True),
        "log1p-counts": (_log1p, "ln(1 + counts)", False),
        "counts": (as_they_are, "counts", False),
        "binary": (_presence, "1 where a value is above zero", False),
        "clr": (normalize.clr_around, "ln(1 + counts / exp(mean ln(1 + counts)))", True),
    }
    if units not in makers:
        return None
    convert, recipe, depth = makers[units]
    return Reading("", convert, units, recipe, depth, centred=units == "clr")


def totals(cells: Cells, how: Reading, rows: Array, modality: str) -> Array:
    """Counts per cell of a modality, float64 (rows,): the recorded column, else the row sums; or the
    centres of its CLR.

    The recorded one is what the cell had before features were dropped. `rows` in any order.
    """
    column = f"total_counts_{modality}"
    if how.recorded and not how.centred and column in cells.obs:
        values = cells.obs.numbers(column)[rows]
        if np.isfinite(values).all():
            return values
    ordered, place = np.unique(rows, return_inverse=True)
    sums = np.zeros(len(ordered))
    columns = columns_of(cells, modality)
    measured = measured_of(cells)
    for block in cells.blocks(how.key, rows=ordered, columns=columns):
        part = slice(block.start, block.start + block.X.shape[0])
        values = block.X if measured is None else measured.clear(block.X, ordered[part], columns)
        values = how.linear(values)
        if how.centred:
            panel = None if measured is None else measured.panel(ordered[part], columns)
            sums[part] = normalize.clr_centre(values, panel)
        else:
            sums[part] = normalize.row_totals(values)
    return sums[place]


def _log1p(block: sparse.csr_array | Array, totals: Array) -> sparse.csr_array | Array:
    values = block.astype(np.float64)
    return np.log1p(values) if isinstance(values, np.ndarray) else values.log1p()


def _presence(block: sparse.csr_array | Array, totals: Array) -> sparse.csr_array | Array:
    return normalize.binary(block)
