"""Use a classifier on cells: its features by any name, blocks of one size, calibrated probabilities.

Blocks have 512 rows, padded, as `apply` has them and for the same reason: neither --memory nor the
other cells of a file change a cell's answer. A block holds cells of one dataset: depth is that of the
genes which that one measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.cells import coordinates
from scgx.cluster.work import mapped
from scgx.errors import DataError, InputError
from scgx.genome.identity import ensembl_id
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.measured import Measured, measured_of
from scgx.learn.apply import ROWS, alike, in_place, runs
from scgx.learn.artifact import Artifact, Header
from scgx.learn.block import CellBlock
from scgx.learn.calibration import softmax
from scgx.learn.convert import choose
from scgx.learn.model import Classifies
from scgx.learn.novelty import Novelty
from scgx.learn.panel import Found, Lens, Names, Panel, doubled, find
from scgx.learn.train import restore
from scgx.progress import say, warn


class Answer(NamedTuple):
    """Of up to 512 cells: probabilities float32 (n, classes), novelty float32 (n,) or None where none
    is known, and which cells have no count in any feature that the model looks at, bool (n,)."""

    probability: np.ndarray
    novelty: np.ndarray | None
    blank: np.ndarray


@dataclass(frozen=True)
class Classifier:
    """A restored classifier on an open file: probabilities of its classes for any rows."""

    model: Classifies
    header: Header
    lens: Lens
    cells: Cells
    name: str
    novelty: Novelty | None = None

    @cached_property
    def measured(self) -> Measured | None:
        """What each dataset of the file measured; None where all have what the lens has."""
        measured, here = measured_of(self.cells), self.lens.columns[self.lens.columns >= 0]
        return None if measured is None or measured.mask[here].all() else measured

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the columns of `probabilities`."""
        return self.header.outputs.names

    def blocks(self, rows: np.ndarray) -> Iterator[list[tuple[np.ndarray, CellBlock]]]:
        """For 512 of `rows` after another: blocks of 512 rows, and which of the 512 they answer."""
        for part in runs(rows):
            yield [(place, self._block(part[place])) for place in alike(self.measured, part)]

    def _block(self, rows: np.ndarray) -> CellBlock:
        """Up to 512 cells of one dataset, padded with the last of them."""
        lens = self.lens
        if self.measured is not None:
            lens = lens.measured_by(self.measured.mask[:, self.measured.codes[rows[0]]])
        x = lens.x(self.cells, rows)
        more = ROWS - len(rows)
        indptr = np.concatenate([x.indptr, np.full(more, x.indptr[-1], x.indptr.dtype)])
        x = sparse.csr_array((x.data, x.indices, indptr), shape=(ROWS, x.shape[1]))
        padded = np.concatenate([rows, np.full(more, rows[-1])])
        depth = np.asarray(x.sum(axis=1), np.float64).ravel()
        return CellBlock(x, self.cells.obs.take(padded), depth, lens.present)

    def inputs(self, rows: np.ndarray) -> Iterator[sparse.csr_array]:
        """What the model sees of `rows`, in order, some of them a time."""
        return (self.lens.x(self.cells, part) for part in runs(rows))

    def probabilities(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Calibrated probabilities of `rows` in order, float32 (up to 512, classes) a time."""
        return (answer.probability for answer in self.answers(rows))

    def answers(self, rows: np.ndarray) -> Iterator[Answer]:
        """The same, with all else that is known of these cells."""
        return mapped(self._answered, runs(rows))

    def _answered(self, run: np.ndarray) -> Answer:
        """What is known of up to 512 cells."""
        labels = self.header.labels
        temperature = labels.temperature if labels is not None else 1.0
        (together,) = self.blocks(run)
        try:
            scores = in_place([(at, self.model.scores(b)[: len(at)]) for at, b in together])
        except (IndexError, ValueError) as error:
            what = f"its weights do not fit its features: {error}"
            raise InputError(what, fix="train it again", file=self.name) from error
        if scores.shape[1] != len(self.classes):
            raise InputError("its classes are not those of its header", file=self.name)
        made = softmax(scores, temperature).astype(np.float32)
        unlike = None
        if self.novelty is not None:
            of = self.novelty.of
            unlike = in_place(
                [(at, of(b.x[: len(at)], made[at], b.present)[:, None]) for at, b in together]
            )[:, 0]
        blank = in_place([(at, (b.totals[: len(at)] == 0)[:, None]) for at, b in together])
        return Answer(made, unlike, blank[:, 0])


def opened(found: Artifact, cells: Cells, min_overlap: float) -> Classifier:
    """A classifier, ready for the rows of an open file; DataError where it is none, or cannot be."""
    header = found.header
    if header.task != "labels" or header.labels is None:
        raise DataError(
            f"is a {header.model} model of {header.outputs.modality} and classifies nothing",
            fix=f"scgx {'generate' if header.task == 'generation' else 'predict'} uses it",
            file=found.name,
        )
    lens = lens_for(found, cells, min_overlap)
    model = restore(found)
    if not isinstance(model, Classifies):
        raise DataError("this model never classifies", file=found.name)
    shape = (len(header.outputs.names), len(lens.panel.chosen))
    novelty = Novelty.restore(found.summary, shape, found.name)
    return Classifier(model, header, lens, cells, found.name, novelty)


def panel_of(header: Header, summary: dict[str, np.ndarray], name: str) -> Panel:
    """The panel that an artifact carries."""
    table = header.inputs
    nothing: list[str | None] = [None] * len(table.names)
    columns = (table.names, table.gene_id or nothing, table.gene_name or nothing)
    names = Names(*(np.array(column, dtype=object) for column in columns))
    chosen, share = summary.get("chosen"), summary.get("share")
    if chosen is None or share is None or len(share) != len(table.names):
        raise InputError("its summary does not fit its features", fix="train it again", file=name)
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(share):
        raise InputError("its summary does not fit its features", fix="train it again", file=name)
    return Panel(table.modality, names, chosen, share)


def lens_for(found: Artifact, cells: Cells, min_overlap: float) -> Lens:
    """How rows of this file become the model's inputs; says what was found and by which names."""
    header = found.header
    panel = panel_of(header, found.summary, found.name)
    here = columns_of(cells, panel.modality)
    genome = str(cells.scgx.get("genome", ""))
    if panel.modality == "atac" and genome and header.genome and genome != header.genome:
        raise DataError(
            f"is on {genome}, the model was trained on {header.genome}", file=cells.name
        )
    seen = find(panel, cells.var, here)
    if seen.n < max(1, min_overlap * len(panel)):
        raise DataError(
            f"has {seen.n:,} of the model's {len(panel):,} {panel.modality} features:"
            f" {cells.var_names[here[0]]} here, {panel.names.names[0]} there",
            fix=_mend(panel, cells, seen, here),
            file=cells.name,
        )
    lens = Lens(choose(cells, panel.modality, header.inputs.units), panel, seen.columns)
    used = int(lens.present.sum())
    others = seen.n - seen.by_index
    how = f", {others:,} of them by id or symbol" if others else ""
    say(
        f"{seen.n:,} of {len(panel):,} {panel.modality} features of the model are here{how};"
        f" it looks at {used:,} of {len(panel.chosen):,}"
    )
    if seen.n < len(panel) and (twice := doubled(Names.of(cells.var.take(here)))):
        warn(f"{len(twice):,} names occur more than once and pair with nothing: {twice[0]!r} first")
    if seen.n < len(panel) / 2:
        say(
            "a model of the genes that both have would be better:"
            f" scgx train {header.model} TRAINING --panel {cells.name}"
        )
    if panel.modality in coordinates.GENES:
        say(f"{lens.conversion.words}, depth from the {seen.n:,} shared features")
    return lens


def _mend(panel: Panel, cells: Cells, seen: Found, here: np.ndarray) -> str:
    """What would bring the two panels together: names, or a lower bar."""
    ids_here = _share_of_ids(cells.var_names[here]) > 0.5
    ids_there = _share_of_ids(panel.names.names) > 0.5
    if ids_here != ids_there:
        side = "here" if ids_here else "in the training file"
        return f"no symbols {side}: scgx annotate-coords adds them"
    if seen.n and len(here) < len(panel) / 2:
        return f"the file has {len(here):,}; --min-overlap lowers the bar"
    return "same species and kind of names? --min-overlap lowers the bar"


def _share_of_ids(names: np.ndarray) -> float:
    some = names[:200]
    return sum(bool(ensembl_id(str(name))) for name in some) / max(len(some), 1)
