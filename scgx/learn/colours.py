"""What cells are coloured by: a column of obs, or how much there is of a gene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities
from scgx.h5ad.frame import Categorical, Nullable
from scgx.learn.convert import CANONICAL, choose, totals_of
from scgx.registry import suggest

ROWS = 2_048
SYMBOLS = ("gene_name", "gene_symbols", "symbol", "gene_id")


class Panel(NamedTuple):
    """One picture of all cells: `words` (n,) of classes, None where unknown; or `values` (n,)."""

    name: str
    words: np.ndarray | None = None
    values: np.ndarray | None = None


def panels(cells: Cells, wanted: Sequence[str]) -> list[Panel]:
    """A panel for each column of obs or feature (by id or symbol), in the order given.

    DataError for what is neither. Features are in the canonical unit of their modality.
    """
    if not wanted:
        return [Panel("")]
    found: dict[str, Panel] = {}
    features: dict[str, int] = {}
    for word in wanted:
        if word in cells.obs:
            found[word] = _of_column(cells, word)
        else:
            features[word] = _column_of(cells, word)
    found |= _of_features(cells, features)
    return [found[word] for word in dict.fromkeys(wanted)]


def check(cells: Cells, wanted: Sequence[str], *, coming: str | None = None) -> None:
    """DataError for what is neither a column of obs (or one that is yet to come) nor a feature."""
    for word in wanted:
        if word not in cells.obs and word != coming:
            _column_of(cells, word)


def _of_column(cells: Cells, name: str) -> Panel:
    column = cells.obs[name]
    values = column.values if isinstance(column, Nullable) else column
    if isinstance(column, Categorical) or np.asarray(values).dtype.kind in "OUSb":
        return Panel(name, words=cells.obs.strings(name))
    return Panel(name, values=cells.obs.numbers(name))


def _column_of(cells: Cells, word: str) -> int:
    """The feature of that name, id or symbol; of several (isoforms, modalities) the first."""
    for names in (cells.var_names, *(cells.var.strings(c) for c in SYMBOLS if c in cells.var)):
        here = np.flatnonzero(names == word)
        if len(here):
            return int(here[0])
    there = [*cells.obs.columns, *cells.var_names.tolist()]
    for column in SYMBOLS:
        there += [s for s in (cells.var.strings(column) if column in cells.var else ()) if s]
    raise DataError(
        f"no column of obs and no feature is called {word!r}",
        fix=suggest(word, there) if len(there) < 100_000 else None,
        file=cells.name,
    )


def _of_features(cells: Cells, wanted: dict[str, int]) -> dict[str, Panel]:
    """Values of features, one pass for each modality: depth is that of all its features."""
    kinds = modalities(cells.var)
    made: dict[str, Panel] = {}
    for modality in dict.fromkeys(kinds[list(wanted.values())].tolist()):
        mine = {word: at for word, at in wanted.items() if kinds[at] == modality}
        if modality not in CANONICAL:
            raise DataError(f"{next(iter(mine))!r} is of an unknown modality", file=cells.name)
        columns = np.flatnonzero(kinds == modality)
        conversion, depth = choose(cells, modality), totals_of(cells, modality)
        places = np.searchsorted(columns, list(mine.values()))
        values = np.zeros((cells.n_obs, len(mine)), np.float32)
        for start in range(0, cells.n_obs, ROWS):
            rows = np.arange(start, min(start + ROWS, cells.n_obs))
            block = cells.rows(conversion.key, rows, columns)
            total = depth[rows] if depth is not None and conversion.uses_totals else None
            values[rows] = sparse.csc_array(conversion.apply(block, total))[:, places].toarray()
        made |= {word: Panel(word, values=values[:, i]) for i, word in enumerate(mine)}
    return made
