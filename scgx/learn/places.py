"""Where a modality lies in a file: among the columns of X, in a layer of its own, in obsm.

Most files hold modalities as columns of one matrix, told apart by `feature_types`. Some carry another
one beside it: gene activity as a layer (`layer:NAME`, features of X) or as an array (`obsm:KEY`,
features of its own). Those hold gene activity unless they say otherwise: `adt=obsm:protein`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad import obsm
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, parse_modality, present
from scgx.h5ad.gather import Source, held, source_of
from scgx.learn.convert import Conversion, choose


class Place(NamedTuple):
    """One modality in one file: the matrix, its columns (int64), their names; how values become the
    unit asked for, None for values as they are stored.
    """

    cells: Cells
    modality: str
    key: str
    columns: np.ndarray
    names: np.ndarray
    conversion: Conversion | None

    @property
    def in_var(self) -> bool:
        """Are its columns features of var?"""
        return not self.key.startswith("obsm/")

    @property
    def width(self) -> int:
        """Columns of its matrix, those of other modalities among them."""
        return self.cells.n_var if self.in_var else len(self.names)

    def source(self) -> Source:
        """Its matrix, to be read at random."""
        table = None if self.in_var else obsm.table_of(self.cells, self.key)
        return source_of(self.cells.matrix(self.key)) if table is None else held(table)


def split_word(word: str) -> tuple[str, str | None]:
    """`rna` is (rna, None), `layer:NAME` (activity, layers/NAME), `adt=obsm:KEY` (adt, obsm/KEY)."""
    modality, equals, rest = word.rpartition("=")
    kind, colon, name = rest.partition(":")
    if not colon:
        if equals:
            raise UsageError(f"{word!r} is no modality", fix="as in adt=obsm:protein")
        return parse_modality(word), None
    if kind not in ("layer", "obsm") or not name:
        raise UsageError(
            f"{word!r} is no modality",
            fix="there is rna, atac, adt, activity, layer:NAME, obsm:KEY",
        )
    return parse_modality(modality or "activity"), f"{'layers' if kind == 'layer' else kind}/{name}"


def place_of(
    cells: Cells, word: str | None, units: str | None = None, layer: str | None = None
) -> Place:
    """Find a modality; None is the only one that the file has. DataError where it is not there.

    `layer` holds the values in place of X; with `units`, whichever matrix can be converted does.
    """
    if word is None:
        here = present(cells.var)
        if len(here) > 1:
            raise DataError(
                f"has {' and '.join(here)}", fix="say which: modality='rna'", file=cells.name
            )
        modality, key = here[0] if here else "rna", None
        columns = np.arange(cells.n_var)
    else:
        modality, key = split_word(word)
        columns = columns_of(cells, modality) if key is None else np.arange(0)
    if key is not None and not cells.has(key):
        group = key.partition("/")[0]
        there = ", ".join(cells.keys(group)) or "none"
        raise DataError(f"has no {key}", fix=f"{group} here: {there}", file=cells.name)
    if key is not None and key.startswith("obsm/"):
        names = obsm.features_of(cells, key)
        return Place(cells, modality, key, np.arange(len(names)), names, None)
    if key is not None:
        columns, layer = np.arange(cells.n_var), key.removeprefix("layers/")
    conversion = choose(cells, modality, units, layer) if units else None
    key = conversion.key if conversion else f"layers/{layer}" if layer else "X"
    return Place(cells, modality, key, columns, cells.var_names[columns], conversion)
