"""What the plot of made cells draws: components, means and variances of genes, F1 of three rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from scgx.metrics._sets import CellSet
from scgx.tasks._likeness import Bench
from scgx.tasks._scores import Entry, MadeCells, Spread

_CELLS = 1_500


def picture(
    bench: Bench,
    made: Mapping[str, CellSet],
    entries: Sequence[Entry],
    real: Mapping[str, Spread],
    classes: tuple[str, ...],
) -> MadeCells:
    """Two components of up to 1,500 cells a side, means of genes, and bars of TSTR."""
    test = bench.real
    points, genes = {}, {}
    pair = {name: next(bench.pairs(cells)) for name, cells in made.items()}
    kept = np.random.default_rng(0).permutation(len(test))[:_CELLS]
    shown = test.take(np.sort(kept))
    for name, one in pair.items():
        rows = np.random.default_rng(0).permutation(len(one.fake))[:_CELLS]
        fake = one.fake.take(np.sort(rows))
        points[name] = np.column_stack([fake.components[:, :2], fake.codes])
        genes[name] = np.array([_means(one.real), _means(one.fake)])
    keys = [key for key in real if key.startswith("tstr")]
    bars = {entry.name: [entry.results[key].value or 0.0 for key in keys] for entry in entries}
    bars["real"] = [real[key].mean for key in keys]
    here = np.column_stack([shown.components[:, :2], shown.codes])
    return MadeCells(classes, here, points, genes, tuple(keys), bars)


def _means(cells: CellSet) -> np.ndarray:
    return np.asarray(cells.log.mean(axis=0), dtype=np.float64).ravel()
