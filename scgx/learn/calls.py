"""What cells are called: the best classes, how sure, and what else; as columns and as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.h5ad.frame import Categorical, Column
from scgx.learn import conformal


class Rules(NamedTuple):
    """How probabilities become calls."""

    top: int = 3  # how many classes are named per cell
    reject: float = 0.0  # a cell whose best probability is below is unknown
    bar: float | None = None  # the least probability of a class in the set of a coverage
    novel: float | None = None  # a cell of more novelty is unknown


@dataclass(frozen=True)
class Calls:
    """The answer for n cells: the k best classes of each, their probabilities, and its entropy."""

    classes: tuple[str, ...]
    best: np.ndarray  # int64 (n, k), best first
    probability: np.ndarray  # float32 (n, k)
    entropy: np.ndarray  # float32 (n,), natural logarithm
    unknown: np.ndarray  # bool (n,)
    sets: np.ndarray | None = None  # str (n,), classes above the bar, best first, parted by |
    novelty: np.ndarray | None = None  # float32 (n,), how unlike its class a cell is

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        classes: tuple[str, ...],
        rules: Rules,
        novelty: np.ndarray | None = None,
        blank: np.ndarray | None = None,
    ) -> Calls:
        """What probabilities (n, classes) come to; the first of equals is the best.

        With a bar a cell is unknown unless exactly one class is above it. `blank` cells (n,) have
        nothing by which they could be called, and are unknown.
        """
        order = np.argsort(-probability, axis=1, kind="stable")
        best = order[:, : min(rules.top, len(classes))]
        top = np.take_along_axis(probability, best, axis=1)
        safe = np.where(probability > 0, probability, 1).astype(np.float64)
        entropy = -(probability * np.log(safe)).sum(axis=1)
        unknown = top[:, 0] < rules.reject
        if blank is not None:
            unknown |= blank
        if rules.novel is not None and novelty is not None:
            unknown |= novelty > rules.novel
        sets = None
        if rules.bar is not None:
            size = conformal.sets(probability, rules.bar).sum(axis=1)
            unknown |= size != 1
            rows = zip(order.tolist(), size.tolist(), strict=True)
            sets = np.array(
                ["|".join(classes[i] for i in row[:n]) for row, n in rows], dtype=object
            )
        return cls(classes, best, top, entropy.astype(np.float32), unknown, sets, novelty)

    @classmethod
    def joined(cls, parts: Sequence[Calls]) -> Calls:
        """The cells of all parts, of which there is one at least."""
        names = ("best", "probability", "entropy", "unknown")
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        sets = [part.sets for part in parts if part.sets is not None]
        novelty = [part.novelty for part in parts if part.novelty is not None]
        return cls(
            parts[0].classes,
            **whole,
            sets=np.concatenate(sets) if sets else None,
            novelty=np.concatenate(novelty) if novelty else None,
        )

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Columns of obs by name."""
        yield "scgx_label", self._categorical(0)
        yield "scgx_label_prob", self.probability[:, 0]
        for rank in range(1, self.best.shape[1]):
            yield f"scgx_label_top{rank + 1}", self._categorical(rank)
            yield f"scgx_label_top{rank + 1}_prob", self.probability[:, rank]
        yield "scgx_label_entropy", self.entropy
        if self.novelty is not None:
            yield "scgx_novelty", self.novelty
        yield "scgx_unknown", self.unknown
        if self.sets is not None:
            yield "scgx_set", self.sets

    def _categorical(self, rank: int) -> Categorical:
        small = np.int8 if len(self.classes) < 128 else np.int16
        return Categorical(self.best[:, rank].astype(small), np.array(self.classes, dtype=object))

    def counts(self) -> np.ndarray:
        """Cells per class, int64 (classes,)."""
        return np.bincount(self.best[:, 0], minlength=len(self.classes))

    def sentence(self) -> str:
        """How many cells of which class."""
        counts = self.counts()
        order = np.argsort(-counts, kind="stable")
        shown = [f"{self.classes[i]} {counts[i]:,}" for i in order[:6] if counts[i]]
        more = int((counts > 0).sum()) - len(shown)
        tail = f", {more} more" if more > 0 else ""
        unknown = f"; {int(self.unknown.sum()):,} unknown" if self.unknown.any() else ""
        many = f"{len(self.entropy):,} cells"
        return f"{many}: {', '.join(shown)}{tail}{unknown}" if shown else many


def table(columns: dict[str, Column], names: np.ndarray, path: Path) -> None:
    """Columns as TSV, a line per cell."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("\t".join(["cell", *columns]) + "\n")
        words = [_words(column) for column in columns.values()]
        for row in zip(names, *words, strict=True):
            file.write("\t".join(row) + "\n")


def _words(column: Column) -> list[str]:
    if isinstance(column, Categorical):
        return [str(column.categories[code]) for code in column.codes]
    values = np.asarray(column)
    if values.dtype == bool:
        return ["true" if value else "false" for value in values]
    if values.dtype.kind == "O":
        return [str(value) for value in values]
    return [f"{value:.6g}" for value in values]
