"""Synthetic cells as a file: blocks of one size, each from a generator of its own, written in order.

What a block holds depends on the seed, its number and the conditions of its cells: so --memory and
--threads change no byte. Blocks are made side by side and only some of them are held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scgx.errors import DataError, InputError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.history import Input
from scgx.h5ad.threads import side_by_side
from scgx.h5ad.writer import Writer, create
from scgx.learn.artifact import Artifact
from scgx.learn.conditions import Conditions
from scgx.learn.convert import choose
from scgx.learn.library import Library
from scgx.learn.model import Generates, Transfers
from scgx.learn.prediction import var_of
from scgx.learn.train import restore
from scgx.learn.transfer import DEEPEST, Given, require_counts
from scgx.learn.wanted import conditions_of, require_memory, tell_unseen
from scgx.progress import bar, say

ROWS = 512
_ELEMENTS = 1 << 20  # of a block: where features are many, it has fewer rows
_STEP = 4_096

Depths = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Order:
    """What is made: codes of conditions (n, columns), how deep, the seed, and what is written down."""

    codes: np.ndarray
    depths: Depths | None  # of codes (n, columns), float64 (n,); None as the model has learned
    seed: int
    memory: int
    history: bool = True
    given: Given | None = None  # cells that `codes` are other conditions of


def write(found: Artifact, order: Order, path: Path, inputs: list[Input]) -> None:
    """Generate and write one h5ad; `inputs` are the files it came from, the model first."""
    about, header = conditions_of(found), found.header
    require_memory(len(order.codes), order.memory)
    unseen = tell_unseen(about, order.codes)
    model = restore(found)
    able = Generates if order.given is None else Transfers
    if not isinstance(model, able):
        raise DataError(
            f"model {header.model!r} cannot say what a cell would be like elsewhere",
            fix="cvae can; or leave --cells out",
            file=found.name,
        )
    n, width = len(order.codes), len(header.outputs.names)
    rows = max(16, min(ROWS, _ELEMENTS // max(width, 1)))

    def items() -> Iterator[tuple[int, sparse.csr_array | None]]:
        for start in range(0, n, rows):
            x = order.given and order.given.counts(start, min(start + rows, n))
            yield start, x

    def made(item: tuple[int, sparse.csr_array | None]) -> sparse.csr_array:
        start, x = item
        codes = order.codes[start : start + rows]
        rng = np.random.default_rng([order.seed, start])
        whole = _padded(codes, rows)
        try:
            if order.given is not None and x is not None and isinstance(model, Transfers):
                before = _padded(order.given.codes[start : start + rows], rows)
                x = sparse.csr_array(x[np.minimum(np.arange(rows), len(codes) - 1)])
                return model.transfer(x, (before, whole), rng)[: len(codes)]
            depth = order.depths(whole, rng) if order.depths is not None else None
            assert isinstance(model, Generates)
            return model.generate(whole, depth, rng)[: len(codes)]
        except (IndexError, ValueError) as error:
            what = f"its weights do not fit its features: {error}"
            raise InputError(what, fix="train it again", file=found.name) from error

    with create(path) as out:
        with out.matrix("X", width, np.int32) as append, bar("generate", n) as advance:
            for block in side_by_side(made, items()):
                append(block)
                advance(block.shape[0])
        names = np.array([f"synth-{i}" for i in range(n)], dtype=object)
        table = about.frame(order.codes, names)
        if order.given is not None:
            table = table.with_column("scgx_source", order.given.names)
        if len(about.columns) > 1:
            table = table.with_column("scgx_unseen", unseen)
        out.frame("obs", table)
        out.frame("var", var_of(header.outputs, np.arange(width)))
        _describe(out, found, about)
        units = {"X": {header.outputs.modality: "counts"}}
        history.sign(
            out, inputs, seed=order.seed, units=units, keep=order.history, before=header.history
        )
    say(f"{n:,} cells, {width:,} {header.outputs.modality} features in counts")


def _padded(codes: np.ndarray, rows: int) -> np.ndarray:
    """As many rows as every block has, the last one again and again."""
    return np.concatenate([codes, np.repeat(codes[-1:], rows - len(codes), axis=0)])


def _describe(out: Writer, found: Artifact, about: Conditions) -> None:
    """uns["scgx"]: the task, the model, its conditions and the summary of its training rows."""
    header = found.header
    model = {"name": header.model, "id": found.id, "config": header.config, "seed": header.seed}
    out.uns("scgx/task", header.task)
    out.uns("scgx/model", json.dumps(model, sort_keys=True))
    out.uns("scgx/label", about.columns[0])
    out.uns("scgx/conditions", np.array(about.columns, dtype=object))
    out.uns("scgx/split_id", header.split)
    out.uns("scgx/train_cells", found.summary["train_cells"])
    out.uns("scgx/train_mean", found.summary["train_mean"])
    if header.genome:
        out.uns("scgx/genome", header.genome)


def fixed_depth(word: str) -> float | None:
    """The N of `fixed:N`; None for other words, UsageError where N is no depth."""
    kind, colon, number = word.partition(":")
    if kind != "fixed" or not colon:
        return None
    try:
        depth = float(number)
    except ValueError:
        depth = 0.0
    if not 0 < depth <= DEEPEST:
        fix = f"as in fixed:2000, and at most {DEEPEST:.0f}"
        raise UsageError(f"--library-size {word!r}: N is no depth", fix=fix)
    return depth


def equal_depths(depth: float) -> Depths:
    """The same for every cell."""
    return lambda codes, rng: np.full(len(codes), depth)


def depths_of(found: Artifact, cells: Cells) -> Depths:
    """As deep as the cells of a file on the model's features, by class where it has the label."""
    about, header = conditions_of(found), found.header
    place = {name: i for i, name in enumerate(cells.var_names.tolist())}
    names = header.outputs.names
    columns = np.array([place[name] for name in names if name in place], dtype=np.int64)
    if 2 * len(columns) < len(names):
        raise DataError(
            f"has {len(columns):,} of the model's {len(names):,} features",
            fix="--library-size takes cells of the same genes",
            file=cells.name,
        )
    conversion = choose(cells, header.outputs.modality, "counts")
    totals = np.zeros(cells.n_obs)
    for start in range(0, cells.n_obs, _STEP):
        rows = np.arange(start, min(start + _STEP, cells.n_obs))
        block = require_counts(conversion.apply(cells.rows(conversion.key, rows, columns)), cells)
        totals[rows] = np.asarray(block.sum(axis=1), np.float64).ravel()
    if not totals.any():
        raise DataError("has no counts of the model's features", file=cells.name)
    label = about.columns[0]
    words = cells.obs.strings(label) if label in cells.obs else None
    if words is None:
        parts = [totals]
    else:
        parts = [totals[words == level] for level in about.levels[0]]
        parts = [part if len(part) else totals for part in parts]
    library = Library.of(parts)

    def drawn(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        group = codes[:, 0] if words is not None else np.zeros(len(codes), np.int64)
        return library.draw(group, rng)

    return drawn
