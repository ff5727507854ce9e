"""The cells of a concatenation: names, common labels, and the columns that every file brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scgx.cells.append import append
from scgx.cells.concat_parts import Columns, Dataset, Options, few, listed
from scgx.cells.label_map import Mapped, alike, nearest
from scgx.errors import DataError
from scgx.h5ad import pile
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.measured import Measured


def labels_of(files: Sequence[Cells], options: Options) -> tuple[list[Mapped | None], list[str]]:
    """Common labels of every file, and what is doubtful about them."""
    if options.label is None:
        return [None] * len(files), []
    doubts = []
    found: list[Mapped | None] = []
    rules = options.rules.rules
    for cells, name in zip(files, options.names, strict=True):
        if options.label not in cells.obs:
            here = ", ".join(list(cells.obs.columns)[:8]) or "none"
            raise DataError(
                f"has no column {options.label!r} in obs", fix=f"it has {here}", file=cells.name
            )
        mapped = options.rules.apply(cells.obs.strings(options.label))
        found.append(mapped)
        if mapped.unmapped and rules:
            near = {word: nearest(word, rules) for word in mapped.unmapped}
            shown = [f"{w!r}" + (f" (did you mean {n!r}?)" if n else "") for w, n in near.items()]
            doubts.append(f"{name}: labels without a rule: {few(shown)}")
    if options.rules.unused:
        shown = [repr(rule) for rule in options.rules.unused]
        doubts.append(f"rules that match no label: {few(shown)}")
    words = {word for one in found if one for word in one.words if word is not None}
    for group in alike(words):
        doubts.append(f"labels differ only in case: {', '.join(map(repr, group))}")
    return found, doubts


def obs_of(
    datasets: Sequence[Dataset], columns: Columns, measured: Measured, options: Options
) -> tuple[Frame, list[str]]:
    """The table of cells: the union of columns, the dataset, common labels, names that are unique."""
    frames, said = [], []
    for dataset in datasets:
        frame = dataset.cells.obs
        if dataset.labels is not None and options.label is not None:
            if options.rules.rules:
                frame = frame.with_column(f"{options.label}_source", frame[options.label])
            frame = frame.with_column(options.label, categorical(dataset.labels.words))
        rows = dataset.share.rows
        frames.append(frame if rows is None else frame.take(rows))
    frames, notes = _totals(datasets, frames, columns)
    said += notes
    names = [frame.index for frame in frames]
    for dataset in datasets:
        dataset.cells.require_unique("obs")
    shared = len(set(np.concatenate(names))) < sum(map(len, names))
    if shared:
        pairs = zip(names, datasets, strict=True)
        names = [np.array([f"{n}-{d.name}" for n in own], dtype=object) for own, d in pairs]
        said.append("barcodes are in several files: each got its dataset behind it (-NAME)")
        if len(set(np.concatenate(names))) < sum(map(len, names)):
            raise DataError("barcodes clash even with their datasets", fix="--names a,b")
    made = append([f.without([options.key]) for f in frames], np.concatenate(names))
    said += listed("obs columns that some file lacks are missing there", made.partial)
    said += listed("obs columns of words in one file and numbers in another are text", made.mixed)
    words = categorical(measured.datasets[measured.codes], measured.datasets)
    return made.frame.with_column(options.key, words), said


def _totals(
    datasets: Sequence[Dataset], frames: list[Frame], columns: Columns
) -> tuple[list[Frame], list[str]]:
    """Counts per cell of all that was counted, where that is the same genes in every file."""
    said = []
    for kind in dict.fromkeys(columns.kinds.tolist()):
        name = f"total_counts_{kind}"
        sets = [set(d.named.keys[d.named.kinds == kind]) for d in datasets]
        having = [name in frame for frame in frames]
        if any(having) and not all(having):
            frames = [frame.without([name]) for frame in frames]
            said.append(f"obs[{name!r}] is not in every file and is left out")
        dropped = any((d.share.lookup[d.named.kinds == kind] < 0).any() for d in datasets)
        if dropped and not any(having) and all(own == sets[0] for own in sets):
            found = [pile.sums(dataset.share, kind) for dataset in datasets]
            sums = [values for values in found if values is not None]
            if len(sums) == len(frames):
                frames = [f.with_column(name, s) for f, s in zip(frames, sums, strict=True)]
    return frames, said
