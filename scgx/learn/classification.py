"""Classified cells as a file: what each cell is, how sure, and what else it might be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import categorical
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import Writer, create
from scgx.learn import conformal, vote
from scgx.learn.adapt import ENOUGH, adapted, own_components
from scgx.learn.apply import ROWS
from scgx.learn.artifact import Artifact
from scgx.learn.calls import Calls, Rules
from scgx.learn.classify import Answer, Classifier, opened
from scgx.learn.labels import groups_of
from scgx.progress import bar, say, warn

PROBABILITIES = "scgx_prob"  # in obsm; the names of its columns are in uns["scgx"]["classes"]
OWN = "scgx_label_own"  # what a cell was called before the others voted
RARE = 0.99  # of validation cells are less novel than those that are told of
NEIGHBOURS = "knn"  # in place of a column: the nearest cells vote


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    min_overlap: float
    reject: float | None = None  # a cell whose best probability is below is unknown
    reject_novel: float | None = None  # and one of more novelty than this share of validation cells
    top: int = 3  # how many classes are named per cell
    coarse: bool = False  # classes of the label map in place of the fine ones
    adapt: bool = False  # self-training on the cells of the file
    vote: str | None = None  # the column of obs whose groups vote, or knn
    coverage: float | None = None  # share of cells whose set holds the true class
    history: bool = True

    def __post_init__(self) -> None:
        if self.coverage is not None and (self.adapt or self.vote is not None):
            raise UsageError(
                "--coverage is of cells that are classified alone",
                fix="leave out --adapt and --majority-vote",
            )


def write(found: Artifact, cells: Cells, dst: Sink, wish: Wish) -> Calls:
    """Classify every cell and write one h5ad: the input, verbatim, and what the model says."""
    grouping = Grouping.of(found, coarse=wish.coarse)
    if wish.vote not in (None, NEIGHBOURS):
        groups_of(cells, str(wish.vote))  # refuses what is none before anything is done
    least = None
    if wish.coverage is not None:
        least = conformal.bar_of(found.summary, wish.coverage, coarse=wish.coarse, name=found.name)
    classifier = opened(found, cells, wish.min_overlap)
    rules = Rules(wish.top, wish.reject or 0, least, _novel(found, classifier, wish))
    if least is not None:
        say(f"sets of classes: those above {least:.3f}, {wish.coverage:.0%} of validation cells")
    rows = np.arange(cells.n_obs)
    own: list[np.ndarray] = []
    blanks = 0
    with create(dst.path, like=None if dst.piped else cells) as out:
        gathered = [Calls.of(np.zeros((0, len(grouping.names)), np.float32), grouping.names, rules)]
        with (
            out.matrix(
                f"obsm/{PROBABILITIES}", len(grouping.names), np.float32, is_sparse=False
            ) as append,
            bar("classify", len(rows)) as advance,
        ):
            for block, unlike, blank in _answers(classifier, rows, grouping, wish, own):
                append(block)
                gathered.append(Calls.of(block, grouping.names, rules, unlike, blank))
                blanks += int(blank.sum())
                advance(len(block))
        calls = Calls.joined(gathered)
        out.copy_rest(cells, skip=(f"obsm/{PROBABILITIES}",))
        for name, column in calls.columns():
            out.column("obs", name, column)
        if wish.vote is not None:
            words = np.array(grouping.names, dtype=object)[np.concatenate(own)]
            out.column("obs", OWN, categorical(words))
        _describe(out, found, classifier, grouping, wish)
        history.sign(out, [cells], keep=wish.history, before=found.header.history)
    say(calls.sentence())
    if blanks:
        warn(f"{blanks:,} cells have no count in any feature of the model, and are unknown")
    _tell_of_novelty(classifier, calls)
    return calls


def _tell_of_novelty(classifier: Classifier, calls: Calls) -> None:
    """Are there many cells that are unlike every class?"""
    if classifier.novelty is None or calls.novelty is None or not len(calls.novelty):
        return
    bar = np.quantile(classifier.novelty.usual, RARE)
    if (share := float(np.mean(calls.novelty > bar))) > 5 * (1 - RARE):
        say(
            f"{share:.0%} of the cells are less like their class than {RARE:.0%} of the model's own"
            " validation cells are (scgx_novelty): other types among them, or another chemistry"
        )


def _novel(found: Artifact, classifier: Classifier, wish: Wish) -> float | None:
    """The novelty above which a cell is of no known class, if that is asked for."""
    if wish.reject_novel is None:
        return None
    if classifier.novelty is None:
        raise DataError(
            "knows no novelty (genes, and 20 validation cells, are needed)",
            fix="train it again, or --reject P",
            file=found.name,
        )
    return classifier.novelty.bar(wish.reject_novel, found.name)


def _answers(
    classifier: Classifier, rows: np.ndarray, grouping: Grouping, wish: Wish, own: list[np.ndarray]
) -> Iterator[Answer]:
    """What the classifier answers, of the wanted classes, some rows at a time.

    Where cells vote, `own` receives the class (n,) of each on its own.
    """
    if not wish.adapt and wish.vote is None:
        for answer in classifier.answers(rows):
            yield answer._replace(probability=grouping(answer.probability))
        return
    none = np.zeros((0, len(classifier.classes)), np.float32)
    alone = list(classifier.answers(rows))
    now = np.concatenate([none, *(answer.probability for answer in alone)])
    if wish.adapt:
        before = now.argmax(axis=1)
        now = adapted(now, classifier.inputs, modality=classifier.lens.panel.modality)
        moved = int((before != now.argmax(axis=1)).sum())
        say(
            f"adapted to these {len(rows):,} cells: {moved:,} get another class; what a cell is"
            " called depends on the other cells of the file"
        )
    now = grouping(now)
    if wish.vote is not None:
        own.append(now.argmax(axis=1))
        now = _voted(classifier, now, wish.vote)
        moved = int((own[0] != now.argmax(axis=1)).sum())
        say(f"by the vote of {wish.vote} {moved:,} of {len(rows):,} cells get another class")
    for i, start in enumerate(range(0, len(rows), ROWS)):
        yield alone[i]._replace(probability=now[start : start + ROWS])


def _voted(classifier: Classifier, probability: np.ndarray, by: str) -> np.ndarray:
    """Means over the groups of a column, or over the nearest cells in these cells' own components."""
    if by != NEIGHBOURS:
        words = groups_of(classifier.cells, by)
        if missing := sum(word is None for word in words):
            say(f"{missing:,} cells have no {by} and keep their own class")
        return vote.in_clusters(probability, words)
    n, modality = len(probability), classifier.lens.panel.modality
    space = None
    if n >= ENOUGH:
        space = own_components(n, classifier.inputs, modality=modality, seed=0)
    if space is None:
        warn(f"{n:,} cells have no neighbourhoods: each keeps its own class")
        return probability
    return vote.among_neighbours(probability, space)


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
    model |= {"reject_novel": wish.reject_novel}
    model |= {"vote": wish.vote, "coverage": wish.coverage}
    model["features"] = int(classifier.lens.present.sum())
    out.uns("scgx/task", header.task)
    out.uns("scgx/model", json.dumps(model, sort_keys=True))
    out.uns("scgx/classes", np.array(grouping.names, dtype=object))
    out.uns("scgx/split_id", header.split)
    out.uns("scgx/train_cells", found.summary["train_cells"])
