"""Paired cells for a model: which rows (pure numbers), and fetching them.

Values come in the canonical unit of their modality, as CSR. What fits in a third of the budget is
converted once and kept; what does not is read from disk, in buffers of neighbouring blocks, while the
model computes. What a cell's dataset did not measure is never read: as an input it is not offered, as
a target it weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash
from scipy import sparse

from scgx.cells.normalize import without_missing
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features
from scgx.h5ad.frame import Frame
from scgx.h5ad.measured import measured_of
from scgx.h5ad.threads import ahead
from scgx.learn.block import CellBlock
from scgx.learn.convert import Conversion, choose, divisors, totals_of
from scgx.learn.order import BUFFER, plan
from scgx.learn.places import in_var
from scgx.learn.shares import WHOLE, Share, chunks

if TYPE_CHECKING:
    from scgx.h5ad.gather import Again


class Batch(NamedTuple):
    """Rows of the file, their inputs and targets, and what each target value weighs (None: one)."""

    rows: np.ndarray
    x: sparse.csr_array
    y: sparse.csr_array
    weight: np.ndarray | None


@dataclass(frozen=True)
class Side:
    """One modality of the file as a model sees it."""

    features: Features
    columns: np.ndarray
    conversion: Conversion

    @property
    def in_var(self) -> bool:
        """Are its columns features of var?"""
        return in_var(self.conversion.key)


class TrainingData:
    """Paired cells of one file in two parts, train and val."""

    def __init__(
        self,
        cells: Cells,
        sides: tuple[Side, Side],
        parts: tuple[np.ndarray, np.ndarray],
        *,
        groups: np.ndarray | None = None,
        na: float | None = None,
    ) -> None:
        self._cells = cells
        self.source, self.target = sides
        self.train, self.val = parts
        self.memory = cells.memory
        self.groups = groups
        self.na = na
        self._measured = measured_of(cells)
        self._divisors: dict[Conversion, np.ndarray | None] = {}

    @property
    def inputs(self) -> Features:
        """The input features in the order of the columns of x."""
        return self.source.features

    @property
    def outputs(self) -> Features:
        """The target features in the order of the columns of y."""
        return self.target.features

    @property
    def obs(self) -> Frame:
        """All rows of obs."""
        return self._cells.obs

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        """Inputs of these rows, CSR float32 (len(rows), inputs)."""
        return self._fetch(self.source, rows, self._cache.get("x"))

    def y(self, rows: np.ndarray) -> sparse.csr_array:
        """Targets of these rows, CSR float32 (len(rows), outputs)."""
        return self._fetch(self.target, rows, self._cache.get("y"))

    def totals(self, rows: np.ndarray) -> np.ndarray:
        """Depth of the input modality, float64: what obs says, else the sum over its features."""
        return self._depth(self.source, rows, self.x)

    def x_counts(self, rows: np.ndarray) -> sparse.csr_array:
        """Raw counts of the inputs; DataError where the file has none."""
        return self._counts(self.source, rows)

    def y_counts(self, rows: np.ndarray) -> sparse.csr_array:
        """Raw counts of the target; DataError where the file has none."""
        return self._counts(self.target, rows)

    def _counts(self, side: Side, rows: np.ndarray) -> sparse.csr_array:
        conversion = side.conversion
        if conversion.have in ("counts", "binary", "log1p-counts"):
            raw = Conversion(conversion.key, conversion.have, "counts", conversion.modality, False)
        elif side.in_var:
            raw = choose(self._cells, conversion.modality, "counts")
        else:
            raise DataError(
                f"{conversion.modality} has no counts ({conversion.key} is {conversion.have})",
                fix="raw counts in X or layers/counts",
            )
        return self._fetch(Side(side.features, side.columns, raw), rows, None)

    def y_totals(self, rows: np.ndarray) -> np.ndarray:
        """Depth of the target modality in counts, float64."""
        return self._depth(self.target, rows, self.y_counts)

    def weight(self, rows: np.ndarray) -> np.ndarray | None:
        """What each target value weighs in a loss, float32 (n, outputs): 1, or `na` where missing,
        or 0 where the cell's dataset did not measure it; None where all weigh 1.
        """
        columns = self.target.columns
        measured = self._measured if self.target.in_var else None
        partial = measured is not None and not measured.mask[columns].all()
        if self.na is None and not partial:
            return None
        weight = np.ones((len(rows), len(columns)), dtype=np.float32)
        if self.na is not None:
            weight[np.isnan(_dense(self._raw(self.target, rows)))] = self.na
        if measured is not None:
            weight[~measured.of(rows, columns)] = 0
        return weight

    def block(self, rows: np.ndarray) -> CellBlock:
        """Rows as `predict` will see them."""
        every = np.ones((1, len(self.inputs)), dtype=bool)
        known = self._measured if self.source.in_var else None
        offered = known.of(rows, self.source.columns) if known else every
        present = np.atleast_1d(offered.any(axis=0))
        return CellBlock(self.x(rows), self.obs.take(rows), self.totals(rows), present)

    def turned(self) -> TrainingData:
        """The same cells with inputs and targets exchanged."""
        parts = self.train, self.val
        sides = self.target, self.source
        return TrainingData(self._cells, sides, parts, groups=self.groups, na=self.na)

    def taught_by(self, rows: np.ndarray) -> TrainingData:
        """The same with fewer training rows (sorted)."""
        sides = self.source, self.target
        return TrainingData(self._cells, sides, (rows, self.val), groups=self.groups, na=self.na)

    def in_order(self, order: np.ndarray) -> TrainingData:
        """The same cells with the inputs in another order."""
        source = Side(self.inputs.take(order), self.source.columns[order], self.source.conversion)
        parts = self.train, self.val
        sides = source, self.target
        return TrainingData(self._cells, sides, parts, groups=self.groups, na=self.na)

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """Batches of `size` rows; the next buffer is read while this one is used."""
        order = plan(rows, seed, epoch, shuffle=shuffle)
        found = chunks(order, size, share=share, most=self._rows_at_once)
        made = ((self._buffer(chunk), cuts) for chunk, cuts in found)
        for (chunk, x, y, weight), cuts in ahead(made):
            for part in cuts:
                yield Batch(chunk[part], x[part], y[part], None if weight is None else weight[part])

    def _buffer(self, rows: np.ndarray) -> Batch:
        return Batch(rows, self.x(rows), self.y(rows), self.weight(rows))

    def fingerprint(self) -> str:
        """A name for exactly this data: file, features, units and parts."""
        digest = xxhash.xxh3_128(self._cells.fingerprint.encode())
        for side in (self.source, self.target):
            digest.update(side.columns.tobytes() + side.conversion.words.encode())
        digest.update(self.train.tobytes() + b"|" + self.val.tobytes() + repr(self.na).encode())
        return digest.hexdigest()

    @cached_property
    def _fits(self) -> bool:
        keys = {self.source.conversion.key, self.target.conversion.key}
        return sum(20 * self._cells.matrix(key).nnz for key in keys) <= self.memory // 3

    @cached_property
    def _rows_at_once(self) -> int:
        """Rows whose values, all modalities of their matrix, take a sixteenth of the budget."""
        if self._fits:
            return BUFFER
        keys = {self.source.conversion.key, self.target.conversion.key}
        nnz = max(self._cells.matrix(key).nnz for key in keys) / max(self._cells.n_obs, 1)
        return int(np.clip(self.memory / 16 / (8 * max(nnz, 1)), 256, BUFFER))

    @cached_property
    def _cache(self) -> dict[str, sparse.csr_array]:
        """Both sides in memory, converted, when they fit in a third of the budget."""
        if not self._fits:
            return {}
        every = np.arange(self._cells.n_obs)
        return {
            "x": self._fetch(self.source, every, None),
            "y": self._fetch(self.target, every, None),
        }

    @cached_property
    def _fast(self) -> dict[str, Again]:
        """The way past HDF5 to what does not fit; compiled code, which small files do without."""
        if self._fits:
            return {}
        from scgx.h5ad.gather import Again

        keys = {self.source.conversion.key, self.target.conversion.key}
        sparse_rows = [key for key in keys if self._cells.matrix(key).kind == "csr"]
        return {key: Again(self._cells, key) for key in sparse_rows}

    def _raw(self, side: Side, rows: np.ndarray) -> sparse.csr_array | np.ndarray:
        key = side.conversion.key
        fast = self._fast.get(key)
        if fast is not None:
            block = fast.rows(rows, side.columns)
        else:
            block = self._cells.rows(key, rows, side.columns)
        if self._measured is None or not side.in_var:
            return block
        return self._measured.clear(block, rows, side.columns)

    def _fetch(
        self, side: Side, rows: np.ndarray, cached: sparse.csr_array | None
    ) -> sparse.csr_array:
        if cached is not None:
            return cached[rows]
        most = self._rows_at_once
        if len(rows) > most:  # of other modalities in the same rows little is held at a time
            pieces = (rows[i : i + most] for i in range(0, len(rows), most))
            parts = [self._fetch(side, piece, None) for piece in pieces]
            return sparse.csr_array(sparse.vstack(parts, format="csr"))
        block = self._raw(side, rows)
        if self.na is not None:
            block = without_missing(block)
        depth = self._divisor(side)
        return side.conversion.apply(block, None if depth is None else depth[rows])

    def _divisor(self, side: Side) -> np.ndarray | None:
        """What the values of each cell are divided by, float64 (n_obs,); None: what they sum to."""
        if side.conversion not in self._divisors:
            found = divisors(self._cells, side.conversion, side.columns)
            self._divisors[side.conversion] = found
        return self._divisors[side.conversion]

    def _depth(self, side: Side, rows: np.ndarray, fallback: object) -> np.ndarray:
        depth = totals_of(self._cells, side.features.modality)
        if depth is not None:
            return depth[rows]
        block = fallback(rows)  # type: ignore[operator]
        return np.asarray(block.sum(axis=1), dtype=np.float64).ravel()


def _dense(block: sparse.csr_array | np.ndarray) -> np.ndarray:
    return block if isinstance(block, np.ndarray) else block.toarray()
