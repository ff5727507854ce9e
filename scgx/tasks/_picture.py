"""What the plot of a score needs: r of every feature with its place, and a sample of values."""

from collections.abc import Sequence

import numpy as np

from scgx.cells import coordinates
from scgx.h5ad.cells import Cells
from scgx.tasks._pairing import Pairing
from scgx.tasks._rows import Rows
from scgx.tasks._scores import Entry, Picture

_CELLS, _FEATURES = 1_000, 500


def picture(
    truth: Cells,
    pairing: Pairing,
    source: Rows,
    shown: Sequence[tuple[str, Rows]],
    judged: Sequence[Entry],
) -> Picture:
    """r per feature of each guess, and values of up to 1,000 cells x 500 features."""
    features = coordinates.features(truth.var, pairing.columns, pairing.modality)
    cells = np.linspace(0, len(pairing.rows) - 1, min(_CELLS, len(pairing.rows))).astype(int)
    columns = slice(0, min(_FEATURES, len(pairing.columns)))
    r, guesses = {}, {}
    rows = dict(shown)
    for entry in judged:
        values = entry.results["pearson_per_feature"].features
        if values is not None:
            r[entry.name] = values
        guesses[entry.name] = np.asarray(rows[entry.name].panel(columns)[cells])
    sample = np.asarray(source.panel(columns)[cells])
    return Picture(features.names, features.chrom, features.start, r, sample, guesses)
