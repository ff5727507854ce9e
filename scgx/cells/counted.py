"""Where the counts of a modality are, column by column of the matrix that holds them."""

from typing import NamedTuple

import numpy as np

from scgx.cells.recipe import raw_columns, unit_of
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, parse_modality, present


class Counted(NamedTuple):
    """A matrix of counts; `place` int64 (of each of its columns) is the feature of var, -1 for none."""

    key: str
    place: np.ndarray
    modality: str
    columns: np.ndarray  # the features of the modality, int64


def counted(cells: Cells, modality: str, layer: str | None = None) -> Counted:
    """The counts of a modality: X, else layers/counts, else raw; or the `layer` named, alone.

    DataError where what is there are no counts.
    """
    columns = columns_of(cells, modality)
    keys = ["X", "layers/counts", "raw/X"]
    if layer is not None:
        keys = ["X" if layer == "X" else f"layers/{layer}"]
        cells.matrix(keys[0])
    for key in keys:
        if not cells.has(key):
            continue
        raw = raw_columns(cells) if key == "raw/X" else None
        if (key == "raw/X" and raw is None) or unit_of(cells, key, modality) not in (
            "counts",
            "binary",
        ):
            continue
        place = np.arange(cells.n_var)
        if raw is not None:
            place = np.full(len(cells.raw_names), -1, dtype=np.int64)
            place[raw] = np.arange(cells.n_var)
        return Counted(key, place, modality, columns)
    where = keys[0] if layer is not None or cells.has("X") else "the file"
    unit = unit_of(cells, where, modality) if cells.has(where) else "nothing"
    raise DataError(
        f"has no counts of {modality} ({where} is {unit})",
        fix="scgx normalize --method counts restores them where it can",
        file=cells.name,
    )


def main_modality(cells: Cells, wish: str | None) -> str:
    """The modality that is meant: the one named, else rna, else the only one there is."""
    if wish is not None:
        return parse_modality(wish)
    here = present(cells.var)
    if "rna" in here or not here:
        return "rna"
    if len(here) > 1:
        raise DataError(f"has {', '.join(here)}", fix="pick one with --modality", file=cells.name)
    return here[0]
