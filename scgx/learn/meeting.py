"""A space in which cells of two modalities compare, by any model that predicts or joins them.

A joint model has one. A predictor has not: what it predicts is measured with noise that its
predictions lack, gene by gene. So both are brought to the axes along which predictions vary most, each
gene divided by its deviation in training, and canonical correlation of known pairs (validation cells)
says which of these axes agree, and how far. Where no pairs are known the axes count as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from scipy import linalg, sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities
from scgx.learn import apply, two_sided
from scgx.learn.apply import Alignment
from scgx.learn.artifact import Artifact
from scgx.learn.canonical import Canonical, unit
from scgx.learn.matching import Places
from scgx.learn.model import Joins, Predicts
from scgx.learn.train import restore
from scgx.learn.two_sided import Pair

Side = Literal["inputs", "outputs"]

AXES = 30
SHRINKAGE = 0.1  # a few hundred pairs for 30 axes
FEWEST_PAIRS = 100
MOST_PAIRS = 2_000
LEAST_DEVIATION = 0.02


class Part(NamedTuple):
    """Some cells of an open file, by one side of a model."""

    cells: Cells
    rows: np.ndarray
    side: Side


class _Axes(NamedTuple):
    """From targets to coordinates: ((y - mean) / scale) @ axes."""

    mean: np.ndarray  # (n_out,)
    scale: np.ndarray  # (n_out,)
    axes: np.ndarray  # (n_out, d)

    def __call__(self, y: np.ndarray | sparse.csr_array) -> np.ndarray:
        slope = self.axes / self.scale[:, None]
        return np.asarray(y @ slope) - self.mean @ slope


@dataclass
class Meeting:
    """A model, restored, and where cells meet by it; `known` are pairs, cells with both modalities."""

    found: Artifact
    min_overlap: float
    known: tuple[Cells, np.ndarray] | None = None
    _aligned: dict[tuple[int, str], Alignment] = field(default_factory=dict)
    _sample: Part | None = None  # cells that have the inputs

    @cached_property
    def model(self) -> object:
        model = restore(self.found)
        if self.found.header.task != "modality" or not isinstance(model, Joins | Predicts):
            raise DataError(
                f"is a model of {self.found.header.task} and relates no two modalities",
                fix="scgx train cca, multivae, stacked or another with --from and --to",
                file=self.found.name,
            )
        return model

    def sides(self, cells: Cells) -> list[Side]:
        """Which sides of the model a file has."""
        here, header = set(modalities(cells.var).tolist()), self.found.header
        tables: list[tuple[Side, object]] = [("inputs", header.inputs), ("outputs", header.outputs)]
        return [
            side
            for side, table in tables
            if (cells.has(table.at) if table.at else table.modality in here)  # type: ignore[attr-defined]
        ]

    def parts(self, files: Sequence[Cells], rows: Sequence[np.ndarray]) -> tuple[Part, Part]:
        """Left and right: both sides of one file, or one side of each of two."""
        assert self.model is not None  # refuses a model that relates no two modalities
        have = [self.sides(cells) for cells in files]
        if len(files) == 1 and len(have[0]) == 2:
            return Part(files[0], rows[0], "inputs"), Part(files[0], rows[0], "outputs")
        header = self.found.header
        one, other = header.inputs.modality, header.outputs.modality
        if len(files) == 1:
            raise DataError(f"has not both {one} and {other}", fix="align A B --model MODEL.scgx",
                            file=files[0].name)  # fmt: skip
        for left, right in (("inputs", "outputs"), ("outputs", "inputs")):
            if left in have[0] and right in have[1]:
                return Part(files[0], rows[0], left), Part(files[1], rows[1], right)
        lacking = next((cells.name for cells, sides in zip(files, have) if not sides), None)
        raise DataError(
            f"no {one} in one file and {other} in the other, as the model relates them",
            fix="scgx info shows what they hold",
            file=lacking or files[1].name,
        )

    def places(self, left: Part, right: Part) -> Places:
        """Cells of two parts in the common space."""
        return Places(self._place(left), self._place(right))

    @property
    def _pairs(self) -> tuple[Cells, np.ndarray] | None:
        """The known pairs, where there are enough and both sides of them."""
        if self.known is None or len(self.known[1]) < FEWEST_PAIRS:
            return None
        return self.known if len(self.sides(self.known[0])) == 2 else None

    @cached_property
    def pairs(self) -> Places | None:
        """Known pairs in the common space; None where there are too few."""
        if self._pairs is None:
            return None
        cells, rows = self._pairs
        if len(rows) > MOST_PAIRS:
            rows = rows[np.linspace(0, len(rows) - 1, MOST_PAIRS).astype(int)]
        return self.places(Part(cells, rows, "inputs"), Part(cells, rows, "outputs"))

    def _place(self, part: Part) -> np.ndarray:
        if isinstance(self.model, Joins):
            alignment = self._alignment(part)
            pair = Pair(alignment, None) if part.side == "inputs" else Pair(None, alignment)
            blocks = two_sided.embed(self.model, part.cells, pair, part.rows, self.found.name)
            return np.vstack(list(blocks))
        raw = np.vstack([self._axes(y) for y in self._targets(part)])
        if self._canonical is None:
            return unit(raw)
        which = self._canonical.first if part.side == "inputs" else self._canonical.second
        made = which(raw)
        return self._canonical.place(*((made, None) if part.side == "inputs" else (None, made)))

    def _alignment(self, part: Part) -> Alignment:
        key = (id(part.cells), part.side)
        if key not in self._aligned:
            self._aligned[key] = two_sided.align_side(
                part.cells, self.found.header, part.side, self.min_overlap
            )
        return self._aligned[key]

    def _targets(self, part: Part) -> Iterator[np.ndarray | sparse.csr_array]:
        """The model's outputs of cells, predicted or measured, up to 512 a time."""
        alignment, name = self._alignment(part), self.found.name
        if part.side == "inputs":
            yield from apply.predict(self.model, part.cells, alignment, part.rows, name)
            return
        for together in apply.blocks(part.cells, alignment, part.rows):
            blocks = [(place, block.x[: len(place)].toarray()) for place, block in together]
            yield apply.in_place(blocks)

    @cached_property
    def _axes(self) -> _Axes:
        """Leading axes of what is predicted for the pairs, or for the cells that `prepare` named."""
        summary = self.found.summary
        mean = summary["train_mean"].astype(np.float64)
        scale = np.maximum(np.sqrt(summary["train_var"].astype(np.float64)), LEAST_DEVIATION)
        scale = np.sqrt(scale)  # between the raw deviation and equal weights
        if self._sample is None:
            raise DataError("no cells were named that have the inputs", file=self.found.name)
        least = max(AXES, self._sample.cells.memory // (32 * len(mean)))
        rows = self._sample.rows[:: -(-len(self._sample.rows) // min(MOST_PAIRS, least))]
        some = np.vstack(list(self._targets(self._sample._replace(rows=rows))))
        deviation = (some - mean) / scale
        deviation -= deviation.mean(axis=0)
        values, vectors = linalg.eigh(deviation @ deviation.T)
        kept = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:AXES]
        if values[-1] <= 1e-9 * deviation.size:
            raise DataError(
                "predicts the same for every cell, so none can be told from another",
                fix="another model",
                file=self.found.name,
            )
        axes = deviation.T @ vectors[:, kept] / np.sqrt(values[kept])
        return _Axes(mean, scale, axes)

    def prepare(self, part: Part) -> None:
        """Name cells that have the inputs: what is predicted for them gives the axes."""
        self._sample = part if self._pairs is None else Part(*self._pairs, "inputs")

    @cached_property
    def _canonical(self) -> Canonical | None:
        """Which axes agree, by known pairs; None where there are too few."""
        if self._pairs is None:
            return None
        cells, rows = self._pairs
        predicted, measured = (
            np.vstack([self._axes(y) for y in self._targets(Part(cells, rows, side))])
            for side in ("inputs", "outputs")
        )
        return Canonical.fit(predicted, measured, dimensions=AXES, shrinkage=SHRINKAGE)
