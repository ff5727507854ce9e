"""The features that another file has too: train on these alone, and nothing is missing at use.

A model that is trained on a whole transcriptome and used on a small panel leans on genes that are not
there. Where the panel is known before training, the model can do without from the start, and depth is
that of the panel. Only names are read of the other file: its cells are never seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scgx.errors import DataError
from scgx.h5ad import streams
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.reader import open_cells
from scgx.learn.knobs import read_names
from scgx.learn.panel import Names, Panel, find
from scgx.progress import say

TEXT = (".txt", ".tsv", ".list")


def within(cells: Cells, columns: np.ndarray, modality: str, other: Path) -> np.ndarray:
    """Those of `columns` that `other` (cells, or a text of names) has by any name, in their order.

    DataError where it has none of them.
    """
    names = Names.of(cells.var.take(columns))
    if other.suffix.lower() in TEXT:
        wanted = set(read_names(other))
        here = np.array([bool({n, i, s} & wanted) for n, i, s in zip(*names)], dtype=bool)
    else:
        share = np.full(len(columns), 1 / max(len(columns), 1))
        panel = Panel(modality, names, np.arange(len(columns)), share)
        with streams.source(other) as src, open_cells(src.path, name=src.name) as theirs:
            here = find(panel, theirs.var, columns_of(theirs, modality)).columns >= 0
    if not here.any():
        raise DataError(
            f"has none of the {len(columns):,} {modality} features of {cells.name}",
            fix="same kind of names? scgx annotate-coords adds gene_name",
            file=str(other),
        )
    say(f"{int(here.sum()):,} of {len(columns):,} {modality} features are in {other.name} too")
    return columns[here]
