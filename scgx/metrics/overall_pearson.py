"""Correlation of the flattened matrices: mostly which features are high."""

from typing import Self

import numpy as np

from scgx.metrics._panel import Design, Moments, Panel, Result, pearson


class Metric:
    """r over all entries of both matrices at once."""

    id = "overall_pearson"
    definition = "Pearson correlation over all cells x features at once; a constant side scores 0"
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._parts = np.zeros((6, design.n_parts))

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        m = panel.parts
        t = m.t + m.n * m.shift_t
        p = m.p + m.n * m.shift_p
        tt = m.tt + 2 * m.shift_t * m.t + m.n * m.shift_t**2
        pp = m.pp + 2 * m.shift_p * m.p + m.n * m.shift_p**2
        tp = m.tp + m.shift_t * m.p + m.shift_p * m.t + m.n * m.shift_t * m.shift_p
        n = np.broadcast_to(m.n, t.shape)
        self._parts += np.stack([x.sum(axis=1) for x in (n, t, p, tt, pp, tp)])

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._parts += other._parts

    def result(self, subset: str = "") -> Result:
        """r over everything (there are no gene sets)."""
        none = np.zeros(1)
        sums = [x[:, None] for x in self._parts]
        m = Moments.of(sums, none, none)
        r, flat = pearson(m.over_parts())
        drawn = pearson(m.drawn(self._design.weights))[0][:, 0]
        return Result(float(r[0]), drawn, int(self._parts[0].sum()), int(flat[0]))
