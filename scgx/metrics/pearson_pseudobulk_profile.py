"""Correlation of mean profiles per type: high for any sane guess, printed for completeness."""

from typing import Self

import numpy as np

from scgx.metrics._panel import Design, Moments, Panel, Result, pearson


class Metric:
    """r between the mean profiles of truth and guess, across features, mean over types."""

    id = "pearson_pseudobulk_profile"
    definition = (
        "Pearson correlation across features of the mean profile of truth and of guess, per type "
        "of at least 20 scored cells, mean over types"
    )
    direction = 1
    gene_sets = False

    def __init__(self, design: Design) -> None:
        self._design = design
        self._sums = np.zeros((6, len(design.type_names)))

    def update(self, panel: Panel) -> None:
        """Take in the features of a panel."""
        types = panel.by_type
        if types is None:
            return
        n = types.n.sum(axis=1)
        t = types.t.sum(axis=1) / np.maximum(n, 1) + types.shift_t
        p = types.p.sum(axis=1) / np.maximum(n, 1) + types.shift_p
        known = np.broadcast_to(n > 0, t.shape)
        t, p = np.where(known, t, 0.0), np.where(known, p, 0.0)
        self._sums += np.stack([x.sum(axis=1) for x in (known, t, p, t * t, p * p, t * p)])

    def merge(self, other: Self, columns: slice) -> None:
        """Take in what another one has of a panel."""
        self._sums += other._sums

    def result(self, subset: str = "") -> Result:
        """The mean over types."""
        known = len(self._design.type_names)
        if not known:
            return Result(None, np.zeros(0), 0, note="needs a --label with 20 cells in a type")
        none = np.zeros(known)
        r, flat = pearson(Moments.of(self._sums, none, none))
        return Result(float(np.nanmean(r)), np.zeros(0), known, int(flat.sum()))
