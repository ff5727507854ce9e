"""Where a modality lies in a file: among the columns of X, in a layer of its own, in obsm.

Most files hold modalities as columns of one matrix, told apart by `feature_types`. Some carry another
one beside it: gene activity as a layer (`layer:NAME`, over the genes of X) or as an array (`obsm:KEY`,
features of its own). Those hold gene activity unless they say otherwise: `adt=obsm:protein`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scgx.cells import coordinates
from scgx.errors import DataError
from scgx.h5ad import obsm
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features, columns_of, modalities, parse_place, present
from scgx.h5ad.frame import Frame
from scgx.learn.convert import Conversion, Located, Missing, choose


class Place(NamedTuple):
    """One modality in one file: the matrix, its columns (int64), their names; how values become the
    unit asked for, None for values as they are stored.
    """

    cells: Cells
    modality: str
    key: str
    columns: np.ndarray
    names: np.ndarray
    conversion: Conversion | None = None

    @property
    def in_var(self) -> bool:
        """Are its columns features of var?"""
        return in_var(self.key)

    @property
    def width(self) -> int:
        """Columns of its matrix, those of other modalities among them."""
        return self.cells.n_var if self.in_var else len(self.names)


def in_var(key: str) -> bool:
    """Are the columns of a matrix features of var, in their order?"""
    return not key.startswith("obsm/")


def table_of(cells: Cells, key: str, columns: np.ndarray) -> Frame:
    """What var says of columns of a matrix; of those of obsm, what it says of features of that name."""
    if in_var(key):
        return cells.var.take(columns)
    names = obsm.features_of(cells, key)[columns]
    row = {name: i for i, name in enumerate(cells.var_names.tolist())}
    if not all(name in row for name in names):
        return Frame(names)
    kept = cells.var.without(["feature_types"])
    return kept.take(np.array([row[name] for name in names], dtype=np.int64))


def features_at(cells: Cells, key: str, columns: np.ndarray, modality: str) -> Features:
    """Features of columns of a matrix, and where they lie in the genome."""
    if in_var(key):
        return coordinates.features(cells.var, columns, modality)
    table = table_of(cells, key, columns)
    return coordinates.features(table, np.arange(len(table)), modality)


def find(
    cells: Cells,
    modality: str,
    at: str | None,
    units: str | None = None,
    *,
    missing: Missing = Missing(),
) -> Place:
    """A modality in a unit (its canonical one by default), in X or in the matrix `at`."""
    if at is None:
        conversion = choose(cells, modality, units, missing=missing)
        columns = columns_of(cells, modality)
        return Place(cells, modality, conversion.key, columns, cells.var_names[columns], conversion)
    place = _beside(cells, modality, at)
    found = choose(cells, modality, units, missing=missing, at=Located(at, place.columns))
    return place._replace(conversion=found)


def place_of(
    cells: Cells, word: str | None, units: str | None = None, layer: str | None = None
) -> Place:
    """A modality by its word; None is the only one that the file has. DataError where it is not there.

    `layer` holds the values in place of X; with `units`, whichever matrix can be converted does.
    """
    modality, at = _only(cells) if word is None else parse_place(word)
    if layer is not None and at is None:
        columns = columns_of(cells, modality)
        key, names = f"layers/{layer}", cells.var_names[columns]
        _require(cells, key)
        found = choose(cells, modality, units, layer) if units else None
        return Place(cells, modality, key, columns, names, found)
    if units:
        return find(cells, modality, at, units)
    if at is not None:
        return _beside(cells, modality, at)
    columns = columns_of(cells, modality)
    return Place(cells, modality, "X", columns, cells.var_names[columns])


def _only(cells: Cells) -> tuple[str, None]:
    here = present(cells.var)
    if len(here) != 1:
        raise DataError(
            f"has {' and '.join(here) or 'no features'}",
            fix="say which: modality='rna'",
            file=cells.name,
        )
    return here[0], None


def _beside(cells: Cells, modality: str, key: str) -> Place:
    _require(cells, key)
    if not in_var(key):
        names = obsm.features_of(cells, key)
        return Place(cells, modality, key, np.arange(len(names)), names)
    kinds = modalities(cells.var)
    own = modality if (kinds == modality).any() or modality != "activity" else "rna"
    columns = columns_of(cells, own)  # gene activity lies over genes
    return Place(cells, modality, key, columns, cells.var_names[columns])


def _require(cells: Cells, key: str) -> None:
    if not cells.has(key):
        group = key.partition("/")[0]
        there = ", ".join(cells.keys(group)) or "none"
        raise DataError(f"has no {key}", fix=f"{group} here: {there}", file=cells.name)
