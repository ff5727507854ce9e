"""A prediction as a file: which rows, which targets, what `score` needs to know about it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx.errors import DataError, MachineError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.isotypes import marked
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import Writer, create
from scgx.learn import two_sided
from scgx.learn.apply import align, predict
from scgx.learn.artifact import Artifact, Table
from scgx.learn.knobs import read_names
from scgx.learn.parts import parts_of
from scgx.learn.train import restore
from scgx.progress import bar, say, warn

USES = {"generation": "generate", "labels": "classify", "embedding": "embed"}


@dataclass(frozen=True)
class Request:
    """What was asked for: rows by part, targets by file or number, the least overlap, history; the
    modalities, where the model goes both ways.
    """

    rows: str | None
    features: str | None
    min_overlap: float
    history: bool
    source: str | None = None
    target: str | None = None


def write(found: Artifact, cells: Cells, dst: Sink, request: Request) -> None:
    """Predict and write one h5ad."""
    header = found.header
    if header.task != "modality":
        raise DataError(
            f"is a model of {header.task} and predicts no modality",
            fix=f"scgx {USES.get(header.task, 'classify')} uses it",
            file=found.name,
        )
    is_back = two_sided.is_back(found, request.source, request.target)
    if is_back:
        found = two_sided.turned(found)
        header = found.header
    rows = choose_rows(cells, request.rows, header.split)
    kept = choose_features(found, request.features)
    need = len(rows) * len(kept) * 4
    free = shutil.disk_usage(dst.path.parent).free
    if need > free:
        raise MachineError(
            f"the prediction needs {need / 1e9:.1f} GB and {dst.path.parent} has {free / 1e9:.1f}",
            fix="--features N keeps fewer targets",
        )
    alignment = align(cells, header, request.min_overlap)
    model = restore(found)
    answering = two_sided.back(model, found.name) if is_back else model
    with create(dst.path) as out:
        out.frame("obs", cells.obs.take(rows))
        out.frame("var", var_of(header.outputs, kept))
        label = f"predict {header.outputs.modality}"
        with (
            out.matrix("X", len(kept), np.float32, is_sparse=False) as append,
            bar(label, len(rows)) as advance,
        ):
            for block in predict(answering, cells, alignment, rows, found.name):
                append(np.ascontiguousarray(block[:, kept]))
                advance(len(block))
        _describe(out, cells, found, kept)
        units = {"X": {header.outputs.modality: header.outputs.units}}
        history.sign(out, [cells], units=units, keep=request.history, before=header.history)
    say(
        f"{len(rows):,} cells, {len(kept):,} {header.outputs.modality} features"
        f" in {header.outputs.units}"
    )


def choose_rows(cells: Cells, part: str | None, trained_split: str) -> np.ndarray:
    """Rows of a part, int64; by default the test rows, or all rows where there is no split."""
    if part not in (None, "all", "train", "val", "test"):
        raise UsageError(f"--rows {part!r} is no part", fix="test, val, train or all")
    if not cells.n_obs:
        raise DataError("there are no cells", fix="is it the file you meant?", file=cells.name)
    stored = parts_of(cells)
    if stored is None and part not in (None, "all"):
        raise DataError(f"has no split, so no {part} rows", fix="scgx split", file=cells.name)
    if stored is None or part == "all":
        return np.arange(cells.n_obs)
    if trained_split and stored.id and trained_split != stored.id:
        warn(
            "the model was trained on another split of cells: some of these rows may have trained it"
        )
    rows = getattr(stored, part or "test")
    if not len(rows):
        raise DataError(
            f"the split has no {part or 'test'} rows", fix="--rows all", file=cells.name
        )
    return rows


def choose_features(found: Artifact, wanted: str | None) -> np.ndarray:
    """Targets to keep: all, the N most variable in training, or those that a file names."""
    names = found.header.outputs.names
    if wanted is None:
        return np.arange(len(names))
    if wanted.lstrip("+-").isdigit() and int(wanted) < 1:
        raise UsageError(f"--features {wanted} keeps none", fix="name a file, or a number from 1")
    if wanted.isdigit():
        order = np.argsort(-found.summary["train_var"], kind="stable")
        return np.sort(order[: int(wanted)])
    chosen = set(read_names(Path(wanted)))
    symbols = found.header.outputs.gene_name or names
    kept = [i for i, (n, s) in enumerate(zip(names, symbols)) if n in chosen or s in chosen]
    if not kept:
        raise DataError("none of the features named is a target of the model", file=wanted)
    if len(kept) < len(chosen):
        say(f"{len(kept)} of {len(chosen)} features named are targets of the model")
    return np.array(kept, dtype=np.int64)


def var_of(table: Table, kept: np.ndarray) -> Frame:
    """The table of the targets, as the training file had it."""

    def pick(values: list[object]) -> list[object]:
        return [values[i] for i in kept]

    frame = Frame(np.array(pick(list(table.names)), dtype=object))
    frame = frame.with_column("feature_types", categorical([WORDS[table.modality]] * len(kept)))
    if any(c is not None for c in table.chrom):
        frame = frame.with_column("chrom", categorical(pick(list(table.chrom))))
        for name in ("start", "end", "tss"):
            frame = frame.with_column(
                name, np.array(pick(list(getattr(table, name))), dtype=np.int64)
            )
        frame = frame.with_column("strand", categorical(pick(list(table.strand))))
    if table.gene_name:
        frame = frame.with_column("gene_name", categorical(pick(list(table.gene_name))))
    return marked(frame) or frame


def _describe(out: Writer, cells: Cells, found: Artifact, kept: np.ndarray) -> None:
    """uns["scgx"]: the task, the model, and the summary of its training rows."""
    header = found.header
    model = {"name": header.model, "id": found.id, "config": header.config, "seed": header.seed}
    model["from"], model["to"] = header.inputs.modality, header.outputs.modality
    out.uns("scgx/task", header.task)
    out.uns("scgx/model", json.dumps(model, sort_keys=True))
    out.uns("scgx/split_id", header.split)
    out.uns("scgx/train_cells", found.summary["train_cells"])
    for name in ("train_mean", "train_var"):
        out.uns(f"scgx/{name}", found.summary[name][kept])
    for name in ("genome", "split"):
        if isinstance(cells.scgx.get(name), str):
            out.uns(f"scgx/{name}", cells.scgx[name])
