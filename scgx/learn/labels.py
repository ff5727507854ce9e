"""Labelled cells for a classifier: the sibling of TrainingData whose target is a column of obs.

Classes come from training rows that have a label, enough of them; features and their scale from the
same rows. Rows without a label, or of a class that is too small, are left out and counted. Rows from
the number of rows of the file on are augmented copies of cells: row modulo that number is the cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash
from scipy import sparse

from scgx.cells import coordinates
from scgx.cluster.work import pool
from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features
from scgx.h5ad.frame import Column, Frame, Nullable
from scgx.h5ad.threads import ahead
from scgx.learn.augment import Augment
from scgx.learn.block import CellBlock
from scgx.learn.order import plan
from scgx.learn.panel import Lens
from scgx.learn.shares import WHOLE, Share, chunks
from scgx.progress import say, warn

ROWS = 8_192
MOST_NUMBERS = 20  # different values of a column of numbers that is still one of classes


class LabelBatch(NamedTuple):
    """Rows of the file, their inputs, the codes of their classes, and what each cell weighs."""

    rows: np.ndarray
    x: sparse.csr_array
    y: np.ndarray
    weight: np.ndarray


class Moments(NamedTuple):
    """Mean and variance of each input, float64 (inputs,)."""

    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Classes:
    """Names of classes, sorted; the code of every row of the file (-1: none); cells per class."""

    column: str
    names: tuple[str, ...]
    codes: np.ndarray
    counts: np.ndarray  # int64 (classes,): training cells


class LabelledData:
    """Cells of one file in two parts, train and val, with the class of each.

    `cells_train` are the training rows of the file; `train` has their augmented copies too.
    """

    def __init__(
        self,
        cells: Cells,
        lens: Lens,
        labels: Classes,
        parts: tuple[np.ndarray, np.ndarray],
        *,
        groups: np.ndarray | None = None,
        balance: bool = True,
        augment: Augment = Augment(),
    ) -> None:
        augment.check(lens)
        self._cells, self.lens, self.labels = cells, lens, labels
        self.cells_train, self.val = parts
        self.augment = augment
        more = [self.cells_train + i * cells.n_obs for i in range(augment.copies + 1)]
        self.train = np.concatenate(more)
        self.groups, self.balance = groups, balance
        self.memory = cells.memory

    @cached_property
    def inputs(self) -> Features:
        """The features in the order of the columns of x."""
        panel = self.lens.panel
        columns = self.lens.columns[panel.chosen]
        return coordinates.features(self._cells.var, columns, panel.modality)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their codes."""
        return self.labels.names

    @property
    def counts(self) -> np.ndarray:
        """Training cells per class, int64 (classes,)."""
        return self.labels.counts

    @property
    def obs(self) -> Frame:
        """All rows of obs."""
        return self._cells.obs

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        """Inputs of these rows, CSR float32 (len(rows), inputs)."""
        if self.held is not None:
            return self.held[rows]
        return self._read(rows)

    def y(self, rows: np.ndarray) -> np.ndarray:
        """Codes of the classes of these rows, int64 (len(rows),)."""
        return self.labels.codes[rows % self._cells.n_obs]

    def weight(self, rows: np.ndarray) -> np.ndarray:
        """What each cell weighs in a loss, float32: with `balance` every class the same, mean one."""
        return self.class_weights[self.y(rows)]

    @cached_property
    def class_weights(self) -> np.ndarray:
        """Weight of a cell of each class, float32 (classes,)."""
        if not self.balance:
            return np.ones(len(self.classes), np.float32)
        share = self.counts.sum() / (len(self.classes) * self.counts.astype(np.float64))
        return share.astype(np.float32)

    @cached_property
    def moments(self) -> Moments:
        """Mean and variance of each input over training rows, weighted as cells are."""
        width = len(self.lens.panel.chosen)
        total, squares, n = np.zeros(width), np.zeros(width), 0.0
        for start in range(0, len(self.train), ROWS):
            rows = self.train[start : start + ROWS]
            x, weight = self.x(rows), self.weight(rows).astype(np.float64)
            total += x.T @ weight
            squares += x.multiply(x).T @ weight
            n += float(weight.sum())
        mean = total / max(n, 1e-9)
        return Moments(mean, np.maximum(squares / max(n, 1e-9) - mean**2, 0))

    @cached_property
    def values(self) -> int:
        """About how many inputs of the training rows are stored: not zero, or of a dense matrix."""
        matrix = self._cells.matrix(self.lens.conversion.key)
        stored = matrix.nnz * (self.augment.copies + 1) if self.held is None else self.held.nnz
        rows = max(1, self._cells.n_obs * (self.augment.copies + 1))
        return int(stored * len(self.train) / rows)

    def totals(self, rows: np.ndarray) -> np.ndarray:
        """Sum of the inputs, float64."""
        return np.asarray(self.x(rows).sum(axis=1), np.float64).ravel()

    def block(self, rows: np.ndarray) -> CellBlock:
        """Rows as `scores` will see them."""
        present = np.ones(len(self.lens.panel.chosen), dtype=bool)
        obs = self.obs.take(rows % self._cells.n_obs)
        return CellBlock(self.x(rows), obs, self.totals(rows), present)

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        share: Share = WHOLE,
    ) -> Iterator[LabelBatch]:
        """`size` rows at a time; the next buffer is read while this one is used."""
        found = chunks(plan(rows, seed, epoch, shuffle=shuffle), size, share=share)
        for chunk, x, cuts in ahead((chunk, self.x(chunk), cuts) for chunk, cuts in found):
            for part in cuts:
                some = chunk[part]
                yield LabelBatch(some, x[part], self.y(some), self.weight(some))

    def with_copies(self, copies: Iterable[int]) -> LabelledData:
        """The same data, of which the cells and only these augmented copies (1, 2, ...) train."""
        made = copy(self)
        made.train = np.concatenate(
            [self.cells_train + i * self._cells.n_obs for i in (0, *copies)]
        )
        for made_before in ("moments", "values"):
            made.__dict__.pop(made_before, None)
        return made

    def fingerprint(self) -> str:
        """A name for exactly this data: file, features, labels and parts."""
        digest = xxhash.xxh3_128(self._cells.fingerprint.encode())
        for part in (self.lens.panel.chosen, self.labels.codes, self.train, self.val):
            digest.update(part.tobytes() + b"|")
        words = f"{self.lens.conversion.words}{self.balance!r}{self.augment!r}"
        digest.update(words.encode())
        return digest.hexdigest()

    @cached_property
    def held(self) -> sparse.csr_array | None:
        """All rows of the file in memory, converted, when they fit in a third of the budget.

        On a cluster nobody holds all.
        """
        need = 20 * self._cells.matrix(self.lens.conversion.key).nnz * (self.augment.copies + 1)
        if need > self.memory // 3 or pool() is not None:
            return None
        step, n = 8_192, self._cells.n_obs
        blocks = [
            self._read(np.arange(i, min(i + step, start + n)))
            for start in range(0, n * (self.augment.copies + 1), n)
            for i in range(start, start + n, step)
        ]
        return sparse.csr_array(sparse.vstack(blocks, format="csr"))

    def _read(self, rows: np.ndarray) -> sparse.csr_array:
        """Inputs of any rows, study by study."""
        copies, real = np.divmod(rows, self._cells.n_obs)
        if not copies.any():
            return self.lens.x(self._cells, rows)
        study = self.augment.study(copies, real)
        groups = [np.flatnonzero(study == one) for one in np.unique(study)]
        made = [
            self.augment.x(
                self.lens, self.lens.raw(self._cells, real[g]), real[g], int(study[g[0]])
            )
            for g in groups
        ]
        stacked = sparse.csr_array(sparse.vstack(made, format="csr"))
        return stacked[np.argsort(np.concatenate(groups))]


def classes_of(
    obs: Frame, column: str, train: np.ndarray, *, least: int, name: str | None = None
) -> Classes:
    """The classes of a column that have at least `least` training cells.

    DataError where the column is none of labels, or fewer than two classes are left.
    """
    words = obs.strings(column)
    seen = Counter(word for word in words[train] if word is not None)
    if len(seen) > max(MOST_NUMBERS, len(train) // 10) and _is_number(obs[column]):
        raise DataError(
            f"obs[{column!r}] is numeric, {len(seen):,} values in {len(train):,} cells",
            fix="--label names a column of classes",
            file=name,
        )
    small = {word: n for word, n in seen.items() if n < least}
    names = tuple(sorted(seen.keys() - small.keys()))
    if len(names) < 2:
        kept = f"{names[0]!r}" if names else "none"
        raise DataError(
            f"obs[{column!r}] has {len(seen)} classes in {len(train):,} training cells, and"
            f" {kept} of two or more with {least} cells",
            fix="--min-cells-per-class lowers the bar; --label names another column",
            file=name,
        )
    if small:
        listed = ", ".join(f"{word} ({n})" for word, n in sorted(small.items())[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        warn(f"classes with under {least} training cells are left out: {listed}{more}")
    place = {word: code for code, word in enumerate(names)}
    codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    counts = np.array([seen[word] for word in names], dtype=np.int64)
    if missing := int(sum(word is None for word in words[train])):
        say(f"{missing:,} of {len(train):,} training cells have no {column}: left out")
    return Classes(column, names, codes, counts)


def groups_of(cells: Cells, column: str) -> np.ndarray:
    """The group (n_obs,) of every cell, None where it has none; DataError for measurements."""
    words = cells.obs.strings(column)
    levels = len({word for word in words if word is not None})
    if levels > max(MOST_NUMBERS, len(words) // 10) and _is_number(cells.obs[column]):
        raise DataError(
            f"obs[{column!r}] is numeric, {levels:,} values in {len(words):,} cells",
            fix="name a column of groups",
            file=cells.name,
        )
    return words


def _is_number(column: Column) -> bool:
    values = column.values if isinstance(column, Nullable) else column
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def read_map(path: Path, classes: tuple[str, ...] | None = None) -> dict[str, str]:
    """Fine to coarse: two columns of text, tab between them; every class must be in it, if given."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", file=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is no text", fix="fine<TAB>coarse, a line each", file=str(path)) from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2 or not all(parts):
            fix = "fine<TAB>coarse, a line each"
            raise InputError(f"line {number} is not two names: {line!r}", fix=fix, file=str(path))
        if found.setdefault(parts[0], parts[1]) != parts[1]:
            raise InputError(f"line {number} maps {parts[0]!r} a second time", file=str(path))
    lacking = [name for name in classes or () if name not in found]
    if lacking:
        raise DataError(
            f"{len(lacking)} classes are not in the label map, {lacking[0]!r} first",
            fix="give every class its coarse one, or map it to itself",
            file=str(path),
        )
    return found
