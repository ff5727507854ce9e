"""Models that go both ways: either side of an artifact on a file, and the two sides together.

A joint model has inputs and outputs like every other one, but may be given cells of either of them, or
of both. `turned` is the artifact as if it had been trained the other way round, so that all that is
done with a prediction is done with one of the inputs too. Blocks are those of `learn/apply`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from scgx.cluster.work import mapped
from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities
from scgx.learn import apply
from scgx.learn.apply import Alignment, alike
from scgx.learn.artifact import Artifact, Header
from scgx.learn.block import CellBlock
from scgx.learn.model import Joins, Model, PredictsBack

ORDER = ("rna", "activity", "adt", "atac")  # which one of a pair comes first


class Pair(NamedTuple):
    """What a file has of both sides of a joint model: None for a side that is left out."""

    source: Alignment | None
    target: Alignment | None


class Back:
    """A model that answers `predict` with its inputs."""

    def __init__(self, model: PredictsBack) -> None:
        self._model = model

    def predict(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, inputs) in the input units."""
        return self._model.predict_back(block)


def roles_of_two(cells: Cells) -> tuple[str, str] | None:
    """--from and --to of a joint model where the file has exactly two modalities, genes first."""
    here = set(modalities(cells.var).tolist())
    if len(here) != 2:
        return None
    first, second = sorted(here, key=ORDER.index)
    return first, second


def turned(found: Artifact) -> Artifact:
    """The artifact the other way round: inputs are outputs, in header and summary."""
    summary = dict(found.summary)
    for name in ("mean", "var"):
        there, back = f"train_{name}", f"back_{name}"
        if back not in summary:
            raise DataError("predicts in one direction only", file=found.name)
        summary[there], summary[back] = summary[back], summary[there]
    return replace(found, header=_turned(found.header), summary=summary)


def _turned(header: Header) -> Header:
    return replace(
        header,
        inputs=header.outputs,
        outputs=header.inputs,
        totals=header.target_totals or "sum",
        target_totals=header.totals,
    )


def is_back(found: Artifact, source: str | None, target: str | None) -> bool:
    """Do these modalities ask a model for what it was trained to predict from?

    DataError where it has no such direction; None is whatever the model has.
    """
    header = found.header
    own = header.inputs.modality, header.outputs.modality
    if source in (None, own[0]) and target in (None, own[1]):
        return False
    if header.target_totals and source in (None, own[1]) and target in (None, own[0]):
        return True
    asked = f"{target or 'a modality'} from {source or 'another'}"
    both = f" and {own[0]} from {own[1]}" if header.target_totals else ""
    raise DataError(
        f"does not predict {asked}",
        fix=f"it does {own[1]} from {own[0]}{both}; scgx train makes others",
        file=found.name,
    )


def back(model: Model, name: str) -> Back:
    """The model as one that predicts its inputs; `name`: its file."""
    if not isinstance(model, PredictsBack):
        raise DataError("predicts in one direction only", file=name)
    return Back(model)


def align_side(
    cells: Cells, header: Header, side: Literal["inputs", "outputs"], min_overlap: float
) -> Alignment:
    """Match one side of a model to a file by name, as `learn.apply.align` does the inputs."""
    return apply.align(cells, header if side == "inputs" else _turned(header), min_overlap)


def pair_of(cells: Cells, header: Header, only: str | None, min_overlap: float) -> Pair:
    """Both sides of a joint model that the file has; `only` is the modality of the one to use.

    DataError where it has neither, or not the one that is wanted.
    """
    here = set(modalities(cells.var).tolist())
    wanted: dict[Literal["inputs", "outputs"], bool] = {}
    for side, table in (("inputs", header.inputs), ("outputs", header.outputs)):
        there = cells.has(table.at) if table.at else table.modality in here
        wanted[side] = table.modality == only if only else there  # type: ignore[index]
    if not any(wanted.values()):
        one, other = header.inputs.modality, header.outputs.modality
        raise DataError(
            f"has no {only or one + ' and no ' + other} that the model knows",
            fix="scgx info shows what it holds",
            file=cells.name,
        )
    sides = (
        align_side(cells, header, side, min_overlap) if use else None
        for side, use in wanted.items()
    )
    return Pair(*sides)


def blocks(
    cells: Cells, pair: Pair, rows: np.ndarray
) -> Iterator[list[tuple[np.ndarray, CellBlock | None, CellBlock | None]]]:
    """For 512 of `rows` after another: blocks of exactly 512 rows of each side that is there, the same
    cells in both, and which of the 512 they answer.
    """
    measured = [side.measured for side in pair if side is not None and side.measured is not None]
    for part in apply.runs(rows):
        places = alike(measured[0] if measured else None, part)
        yield [
            (
                place,
                _block(cells, pair.source, part[place]),
                _block(cells, pair.target, part[place]),
            )
            for place in places
        ]


def _block(cells: Cells, side: Alignment | None, rows: np.ndarray) -> CellBlock | None:
    return None if side is None else apply.block(cells, side, rows)


def embed(
    model: object, cells: Cells, pair: Pair, rows: np.ndarray, name: str
) -> Iterator[np.ndarray]:
    """Places of `rows` in the common space, in order, float32 (up to 512, d) a time."""
    if not isinstance(model, Joins):
        raise DataError("has no space for two modalities", file=name)
    return mapped(partial(_embedded, model, cells, pair, name), apply.runs(rows))


def _embedded(model: Joins, cells: Cells, pair: Pair, name: str, run: np.ndarray) -> np.ndarray:
    """Places of up to 512 cells."""
    (together,) = blocks(cells, pair, run)
    try:
        made = [
            (place, model.embed_pair(source, target)[: len(place)])
            for place, source, target in together
        ]
    except (IndexError, ValueError) as error:
        what = f"its weights do not fit its features: {error}"
        raise InputError(what, fix="train it again", file=name) from error
    return apply.in_place(made)
