"""One modality over several files: a common list of features, and how to get to it from each file.

Files are aligned by name while they are read. What a file lacks, or what a dataset inside of it did not
measure, is not zero: it is absent from every batch, and `measured` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError, UsageError
from scgx.h5ad import obsm
from scgx.h5ad.cells import Cells
from scgx.h5ad.gather import Source, Tables, held, source_of
from scgx.h5ad.measured import Measured
from scgx.h5ad.spool import Spool
from scgx.learn.convert import divisors
from scgx.learn.places import Place

Features = Literal["inner", "outer"] | Sequence[str] | None


class Modality(NamedTuple):
    """`features` (object, n); `tables` has one per dataset; `measured` bool (datasets, n)."""

    places: tuple[Place, ...]
    features: np.ndarray
    tables: Tables
    measured: np.ndarray
    totals: tuple[np.ndarray | None, ...]  # depth of each file's cells, where values need it

    @property
    def keys(self) -> tuple[str, ...]:
        """Its matrix in each file."""
        return tuple(place.key for place in self.places)

    def convert(
        self, block: sparse.csr_array, file: np.ndarray, rows: np.ndarray
    ) -> sparse.csr_array:
        """A batch in the unit asked for; of each row, its file and its row there."""
        if self.places[0].conversion is None:
            return block
        used = np.unique(file).tolist()
        if len(used) == 1:
            return self._converted(used[0], block, rows)
        groups = [np.flatnonzero(file == one) for one in used]
        parts = [
            self._converted(one, block[group], rows[group]) for one, group in zip(used, groups)
        ]
        return sparse.vstack(parts, format="csr")[np.argsort(np.concatenate(groups))]

    def _converted(self, file: int, block: sparse.csr_array, rows: np.ndarray) -> sparse.csr_array:
        conversion, totals = self.places[file].conversion, self.totals[file]
        assert conversion is not None
        return conversion.apply(block, None if totals is None else totals[rows])


def source_at(place: Place, keep: Spool | None = None) -> Source:
    """The matrix of a place, to be read at random; undone values may be kept in `keep`."""
    table = None if place.in_var else obsm.table_of(place.cells, place.key)
    return source_of(place.cells.matrix(place.key), keep) if table is None else held(table)


def align(
    places: Sequence[Place], wanted: Features, measured: Sequence[Measured | None]
) -> Modality:
    """Features that all files have (`inner`, and None), any has (`outer`), or those named, in order.

    DataError where none is left, or where several files are aligned and a name occurs twice.
    """
    if isinstance(wanted, str) and wanted not in ("inner", "outer"):
        raise UsageError(f"features={wanted!r} is not known", fix="inner, outer or names in a list")
    alone = len(places) == 1 and (wanted is None or isinstance(wanted, str))
    features = places[0].names if alone else _common(places, wanted)
    tables, known = [], []
    for place, inside in zip(places, measured):
        table = np.full(place.width, -1, dtype=np.int32)
        target = np.arange(len(features)) if alone else _targets(place, features)
        table[place.columns] = target
        masks = [None] if inside is None or not place.in_var else list(inside.mask.T)
        for mask in masks:
            here = table if mask is None else np.where(mask, table, np.int32(-1))
            tables.append(here)
            there = np.zeros(len(features), dtype=bool)
            there[here[here >= 0]] = True
            known.append(there)
    every = Tables.of(tables, len(features))
    named = not (wanted is None or isinstance(wanted, str))
    depths = tuple(_depth(place, features if named else place.names) for place in places)
    return Modality(tuple(places), features, every, np.array(known, dtype=bool), depths)


def _depth(place: Place, wanted: np.ndarray) -> np.ndarray | None:
    """What the values of each cell are divided by, whichever of its features are wanted by name."""
    if place.conversion is None:
        return None
    some = place.columns[np.isin(place.names.astype(str), wanted.astype(str))]
    return divisors(place.cells, place.conversion, some)


def _common(places: Sequence[Place], wanted: Features) -> np.ndarray:
    for place in places:
        if len(set(place.names)) < len(place.names):
            place.cells.require_unique("var")
    if isinstance(wanted, str) and wanted == "outer":
        names = list(dict.fromkeys(name for place in places for name in place.names))
    elif wanted is None or isinstance(wanted, str):
        shared = set(places[0].names).intersection(*(place.names for place in places[1:]))
        names = [name for name in places[0].names if name in shared]
    else:
        names = list(dict.fromkeys(wanted))
        anywhere = {name for place in places for name in place.names}
        names = names if anywhere & set(names) else []
    if not names:
        few = ", ".join(repr(str(place.names[0])) for place in places[:3] if len(place.names))
        raise DataError(
            f"no {places[0].modality} feature is shared (the first: {few})",
            fix="scgx annotate-coords and scgx concat harmonise names",
        )
    return np.array(names, dtype=object)


def _targets(place: Place, features: np.ndarray) -> np.ndarray:
    """For each column of the place, its number among the features, or -1."""
    number = {name: i for i, name in enumerate(features.tolist())}
    return np.array([number.get(name, -1) for name in place.names.tolist()], dtype=np.int32)


def datasets_of(
    files: Sequence[Cells], inside: Sequence[Measured | None]
) -> tuple[list[str], np.ndarray]:
    """Names of the datasets of all files, and which one each row is of (int32)."""
    names: list[str] = []
    rows = []
    for cells, measured in zip(files, inside):
        codes = np.zeros(cells.n_obs, dtype=np.int32) if measured is None else measured.codes
        rows.append((codes + len(names)).astype(np.int32))
        names += [Path(cells.name).stem] if measured is None else map(str, measured.datasets)
    return names, np.concatenate(rows)
