"""Synthetic cells of two modalities as one file: blocks of one size, each from a generator of its own.

As in `learn/generation`, what a block holds depends on the seed and its number alone, and only some
blocks are held. Genes come first; both modalities of a cell are in its row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from scgx.errors import DataError, InputError
from scgx.h5ad import history
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Column, Frame, categorical
from scgx.h5ad.history import Input
from scgx.h5ad.threads import side_by_side
from scgx.h5ad.writer import create
from scgx.learn.artifact import Artifact, Table
from scgx.learn.covariates import Covariates
from scgx.learn.model import GeneratesPairs
from scgx.learn.train import restore
from scgx.learn.two_sided import ORDER
from scgx.learn.wanted import require_memory
from scgx.progress import bar, say

ROWS = 512
_ELEMENTS = 1 << 20  # of a block: where features are many, it has fewer rows


@dataclass(frozen=True)
class PairOrder:
    """How many cells, what is said of their covariates, the seed, and what is written down."""

    n: int
    said: tuple[tuple[str, str], ...]
    seed: int
    memory: int
    history: bool = True


def write(found: Artifact, order: PairOrder, path: Path, inputs: list[Input]) -> None:
    """Draw and write one h5ad; `inputs` are the files it came from, the model first."""
    header, model = found.header, restore(found)
    require_memory(order.n, order.memory)
    units = model.pair_units if isinstance(model, GeneratesPairs) else None
    if not isinstance(model, GeneratesPairs) or units is None:
        raise DataError(
            f"{header.model} has learned to draw no pairs",
            fix="scgx train multivae, where the file has counts of genes",
            file=found.name,
        )
    told = model.covariates
    code = _code(told, order.said)
    sides = header.inputs, header.outputs
    first = sorted((0, 1), key=lambda side: ORDER.index(sides[side].modality))
    tables = [sides[side] for side in first]
    width = sum(len(table.names) for table in tables)
    rows = max(16, min(ROWS, _ELEMENTS // max(width, 1)))

    def made(start: int) -> scipy.sparse.csr_array:
        rng = np.random.default_rng([order.seed, start])
        try:
            pair = model.generate_pair(np.repeat(code[None], rows, axis=0), rng)
            block = scipy.sparse.hstack([pair[side] for side in first], format="csr")
        except (IndexError, ValueError, RuntimeError) as error:
            what = f"its weights do not fit its features: {error}"
            raise InputError(what, fix="train it again", file=found.name) from error
        return scipy.sparse.csr_array(block[: order.n - start])

    with create(path) as out:
        with out.matrix("X", width, np.int32) as append, bar("generate", order.n) as advance:
            for block in side_by_side(made, range(0, order.n, rows)):
                append(block)
                advance(block.shape[0])
        out.frame("obs", _obs(told, code, order.n))
        out.frame("var", var_of_two(tables))
        about = {"name": header.model, "id": found.id, "config": header.config, "seed": header.seed}
        out.uns("scgx/task", "generation")
        out.uns("scgx/model", json.dumps(about, sort_keys=True))
        out.uns("scgx/split_id", header.split)
        out.uns("scgx/train_cells", found.summary["train_cells"])
        if header.genome:
            out.uns("scgx/genome", header.genome)
        named = {side.modality: unit for side, unit in zip(sides, units, strict=True)}
        history.sign(
            out, inputs, seed=order.seed, units={"X": named}, keep=order.history,
            before=header.history,
        )  # fmt: skip
    listed = ", ".join(
        f"{len(table.names):,} {table.modality} features in {named[table.modality]}"
        for table in tables
    )
    say(f"{order.n:,} cells: {listed}")


def _code(told: Covariates, said: Sequence[tuple[str, str]]) -> np.ndarray:
    """Codes int64 (columns,): what is said of the cells, and 0 for what is not."""
    code = np.zeros(len(told.columns), np.int64)
    for column, level in said:
        if column not in told.columns:
            listed = ", ".join(told.columns) or "none: train with --covariate"
            raise DataError(f"the model was not told {column!r}", fix=f"it was told {listed}")
        place = told.columns.index(column)
        levels = told.levels[place]
        if level not in levels:
            listed = ", ".join(levels[:8]) + (", ..." if len(levels) > 8 else "")
            raise DataError(f"the model knows no {column} {level!r}", fix=f"it knows {listed}")
        code[place] = levels.index(level) + 1
    return code


def _obs(told: Covariates, code: np.ndarray, n: int) -> Frame:
    """Names, and what was said of the cells."""
    frame = Frame(np.array([f"synth-{i}" for i in range(n)], dtype=object))
    for i, column in enumerate(told.columns):
        if code[i]:
            frame = frame.with_column(column, categorical([told.levels[i][code[i] - 1]] * n))
    return frame


def var_of_two(tables: Sequence[Table]) -> Frame:
    """The tables of both modalities, one after the other; a name that both have says which it is."""
    seen = [set(table.names) for table in tables]
    twice = seen[0] & seen[1]
    names = [f"{t.modality}:{name}" if name in twice else name for t in tables for name in t.names]
    words = [WORDS[table.modality] for table in tables for _name in table.names]
    columns: dict[str, Column] = {"feature_types": categorical(words)}
    if any(chrom is not None for table in tables for chrom in table.chrom):
        for name in ("chrom", "strand"):
            columns[name] = categorical(_joined(tables, name, None))
        for name in ("start", "end", "tss"):
            columns[name] = np.array(_joined(tables, name, -1), dtype=np.int64)
    if any(table.gene_name for table in tables):
        own = [each for table in tables for each in (table.gene_name or table.names)]
        columns["gene_name"] = categorical(own)
    return Frame(np.array(names, dtype=object), columns)


def _joined(tables: Sequence[Table], name: str, absent: object) -> list[object]:
    return [
        value for table in tables for value in (getattr(table, name) or [absent] * len(table.names))
    ]
