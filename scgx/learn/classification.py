"""Classified cells as a file: what each cell is, how sure, and what else it might be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx.errors import DataError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Categorical, Column
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import Writer, create
from scgx.learn.adapt import adapted
from scgx.learn.apply import ROWS
from scgx.learn.artifact import Artifact
from scgx.learn.classify import Classifier, opened
from scgx.progress import bar, say

PROBABILITIES = "scgx_prob"  # in obsm; the names of its columns are in uns["scgx"]["classes"]


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    min_overlap: float
    reject: float | None = None  # a cell whose best probability is below is unknown
    top: int = 3  # how many classes are named per cell
    coarse: bool = False  # classes of the label map in place of the fine ones
    adapt: bool = False  # self-training on the cells of the file
    history: bool = True


@dataclass(frozen=True)
class Calls:
    """The answer for n cells: the k best classes of each, their probabilities, and its entropy."""

    classes: tuple[str, ...]
    best: np.ndarray  # int64 (n, k), best first
    probability: np.ndarray  # float32 (n, k)
    entropy: np.ndarray  # float32 (n,), natural logarithm
    unknown: np.ndarray  # bool (n,)

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Columns of obs by name."""
        yield "scgx_label", self._categorical(0)
        yield "scgx_label_prob", self.probability[:, 0]
        for rank in range(1, self.best.shape[1]):
            yield f"scgx_label_top{rank + 1}", self._categorical(rank)
            yield f"scgx_label_top{rank + 1}_prob", self.probability[:, rank]
        yield "scgx_label_entropy", self.entropy
        yield "scgx_unknown", self.unknown

    def _categorical(self, rank: int) -> Categorical:
        small = np.int8 if len(self.classes) < 128 else np.int16
        return Categorical(self.best[:, rank].astype(small), np.array(self.classes, dtype=object))


def write(found: Artifact, cells: Cells, dst: Sink, wish: Wish) -> Calls:
    """Classify every cell and write one h5ad: the input, verbatim, and what the model says."""
    grouping = Grouping.of(found, coarse=wish.coarse)
    classifier = opened(found, cells, wish.min_overlap)
    rows = np.arange(cells.n_obs)
    with create(dst.path, like=None if dst.piped else cells) as out:
        gathered = []
        with (
            out.matrix(
                f"obsm/{PROBABILITIES}", len(grouping.names), np.float32, is_sparse=False
            ) as append,
            bar("classify", len(rows)) as advance,
        ):
            for block in _answers(classifier, rows, wish):
                block = grouping(block)
                append(block)
                gathered.append(calls_of(block, grouping.names, wish))
                advance(len(block))
        calls = _joined(gathered, grouping.names)
        out.copy_rest(cells, skip=(f"obsm/{PROBABILITIES}",))
        for name, column in calls.columns():
            out.column("obs", name, column)
        _describe(out, found, classifier, grouping, wish)
        history.sign(out, [cells], keep=wish.history, before=found.header.history)
    _say(calls)
    return calls


def _answers(classifier: Classifier, rows: np.ndarray, wish: Wish) -> Iterator[np.ndarray]:
    """Probabilities of fine classes, some rows at a time."""
    if not wish.adapt:
        yield from classifier.probabilities(rows)
        return
    made = list(classifier.probabilities(rows))
    before = np.concatenate([np.zeros((0, len(classifier.classes)), np.float32), *made])
    after = adapted(before, classifier.inputs, modality=classifier.lens.panel.modality)
    moved = int((before.argmax(axis=1) != after.argmax(axis=1)).sum())
    say(
        f"adapted to these {len(rows):,} cells: {moved:,} get another class; what a cell is called"
        " depends on the other cells of the file"
    )
    for start in range(0, len(rows), ROWS):
        yield after[start : start + ROWS]


@dataclass(frozen=True)
class Grouping:
    """Probabilities of fine classes summed into those of the map; or left as they are."""

    names: tuple[str, ...]
    into: np.ndarray | None  # (fine,) code of the coarse class

    @classmethod
    def of(cls, found: Artifact, *, coarse: bool) -> Grouping:
        """DataError for `coarse` where the model was trained without a map."""
        fine = tuple(found.header.outputs.names)
        labels = found.header.labels
        if not coarse or labels is None:
            return cls(fine, None)
        if not labels.coarse:
            raise DataError(
                "was trained without a label map", fix="train with --label-map", file=found.name
            )
        names = tuple(sorted(set(labels.coarse.values())))
        return cls(names, np.array([names.index(labels.coarse[name]) for name in fine]))

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """(n, fine) to (n, names), float32."""
        if self.into is None:
            return probability
        summed = np.zeros((len(probability), len(self.names)))
        for fine, coarse in enumerate(self.into):
            summed[:, coarse] += probability[:, fine]
        return summed.astype(np.float32)


def calls_of(probability: np.ndarray, classes: tuple[str, ...], wish: Wish) -> Calls:
    """What probabilities (n, classes) come to; the first of equals is the best."""
    k = min(wish.top, len(classes))
    best = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    top = np.take_along_axis(probability, best, axis=1)
    safe = np.where(probability > 0, probability, 1).astype(np.float64)
    entropy = -(probability * np.log(safe)).sum(axis=1)
    unknown = top[:, 0] < (wish.reject or 0)
    return Calls(classes, best, top, entropy.astype(np.float32), unknown)


def _joined(parts: list[Calls], classes: tuple[str, ...]) -> Calls:
    if not parts:
        none = np.zeros((0, 1))
        return Calls(
            classes, none.astype(np.int64), none.astype(np.float32), none[:, 0], none[:, 0] > 0
        )
    fields = ("best", "probability", "entropy", "unknown")
    return Calls(classes, *(np.concatenate([getattr(p, name) for p in parts]) for name in fields))


def _describe(
    out: Writer, found: Artifact, classifier: Classifier, grouping: Grouping, wish: Wish
) -> None:
    """uns["scgx"]: the task, the model, its classes, and the cells that it was trained on."""
    header = found.header
    labels = header.labels
    model: dict[str, object] = {"name": header.model, "id": found.id, "config": header.config}
    model |= {"seed": header.seed, "from": header.inputs.modality, "to": "label"}
    if labels is not None:
        model |= {"label": labels.column, "counts": labels.counts, "coarse": labels.coarse}
        model |= {"classes": header.outputs.names, "temperature": labels.temperature}
    model |= {"adapt": wish.adapt, "reject": wish.reject, "is_coarse": grouping.into is not None}
    model["features"] = int(classifier.lens.present.sum())
    out.uns("scgx/task", header.task)
    out.uns("scgx/model", json.dumps(model, sort_keys=True))
    out.uns("scgx/classes", np.array(grouping.names, dtype=object))
    out.uns("scgx/split_id", header.split)
    out.uns("scgx/train_cells", found.summary["train_cells"])


def _say(calls: Calls) -> None:
    """How many cells of which class."""
    n = len(calls.entropy)
    counts = np.bincount(calls.best[:, 0], minlength=len(calls.classes))
    order = np.argsort(-counts, kind="stable")
    shown = [f"{calls.classes[i]} {counts[i]:,}" for i in order[:6] if counts[i]]
    more = int((counts > 0).sum()) - len(shown)
    tail = f", {more} more" if more > 0 else ""
    unknown = f"; {int(calls.unknown.sum()):,} unknown" if calls.unknown.any() else ""
    say(f"{n:,} cells: {', '.join(shown)}{tail}{unknown}")


def table(calls: Calls, names: np.ndarray, path: Path) -> None:
    """The same columns as TSV, a line per cell."""
    columns = dict(calls.columns())
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
    return [f"{value:.6g}" for value in values]
