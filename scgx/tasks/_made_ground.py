"""Real and made cells that a score of synthetic cells is about, chosen before anything is compared.

Classes have enough training cells and a test cell; genes are those of all files; of large classes
some cells are looked at, by name and seed.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, present
from scgx.h5ad.units import counts_key, units_of
from scgx.metrics._sets import CellSet
from scgx.tasks import _pairing, _sampled
from scgx.tasks._request import Request
from scgx.tasks._sampled import Source

BESIDE = ("resample", "nb", "copula")  # shipped generators that cost little
LEAST = 10  # training cells that a class must have

Array = np.ndarray


class Rows(NamedTuple):
    """Rows of the truth in each part, and codes of the classes of all rows; -1 is no class."""

    train: Array
    val: Array
    test: Array
    codes: Array


@dataclass(frozen=True, eq=False)
class Ground:
    """Real cells of the three parts, made ones by name, and how all of it was chosen."""

    column: str
    classes: tuple[str, ...]
    genes: Array
    source: Source
    rows: Rows
    test_rows: Array
    train: CellSet
    val: CellSet | None
    test: CellSet
    made: dict[str, CellSet]
    split: _pairing.Split
    left_out: int
    notes: list[str]


def modality_of(cells: Cells) -> str:
    """RNA where there is some, else the first modality."""
    kinds = present(cells.var)
    return "rna" if "rna" in kinds else kinds[0]


def ground_of(ask: Request) -> Ground:
    """Who is compared with whom; DataError where too little is left."""
    truth = ask.truth
    column = ask.label or _column(ask)
    words = truth.obs.strings(column)
    if ask.by is not None:
        truth.obs.strings(ask.by)  # refuses an unknown one, and names the nearest
    for cells in (truth, *ask.guesses):
        cells.require_unique("var")
    truth.require_unique("obs")
    if "split" not in truth.obs or not np.any(truth.obs.strings("split") == "train"):
        raise DataError(
            "synthetic cells are scored on real cells with train and test rows",
            fix="scgx split --by donor makes them",
            file=truth.name,
        )
    split = _pairing.split_of(truth)
    notes = list(split.notes)
    part = truth.obs.strings("split")
    seen = _pairing.trained(truth, ask.guesses, split.test, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    classes = _classes(words, split.train, split.test[~seen], notes)
    place = {name: code for code, name in enumerate(classes)}
    codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    rows = Rows(split.train, np.flatnonzero(part == "val"), split.test[~seen], codes)
    genes, source, others = _sources(ask, len(classes))
    chosen = [_some(ask, truth, codes, part_rows) for part_rows in rows[:3]]
    train, val, test = (
        _sampled.cell_set(source.read(some), codes[some]) if len(some) else None for some in chosen
    )
    if train is None or test is None:
        raise DataError(f"no training or no test row has a {column}", file=truth.name)
    _say_sampled(ask, rows, chosen, notes)
    labels = _pairing.short_names(ask.guesses)
    made = {
        name: _made(ask, other, column, classes, notes, name)
        for name, other in zip(labels, others, strict=True)
    }
    return Ground(
        column, classes, genes, source, rows, chosen[2], train, val, test, made, split, left_out, notes
    )  # fmt: skip


def _column(ask: Request) -> str:
    """The column that the files of made cells name as their label."""
    found = set()
    for guess in ask.guesses:
        recorded = guess.scgx.get("model")
        facts = json.loads(recorded) if isinstance(recorded, str) else {}
        found.add(str(guess.scgx.get("label") or facts.get("label") or ""))
    if len(found - {""}) != 1:
        raise UsageError("which column has the classes?", fix="name it with --label")
    return (found - {""}).pop()


def _classes(words: Array, train: Array, test: Array, notes: list[str]) -> tuple[str, ...]:
    """Classes with enough training cells and a test cell, sorted."""
    names, counts = np.unique([w for w in words[train] if w is not None], return_counts=True)
    asked = {word for word in words[test] if word is not None}
    kept = tuple(
        str(n) for n, count in zip(names, counts, strict=True) if count >= LEAST and n in asked
    )
    lost = sorted(({str(name) for name in names} | asked) - set(kept))
    if lost:
        notes.append(
            f"classes with under {LEAST} training cells or no test cell are left out: "
            + ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        )  # fmt: skip
    if len(kept) < 2:
        raise DataError(
            f"{len(kept)} classes have {LEAST} training cells and a test cell; two are needed",
            fix="name another column with --label",
        )
    return kept


def _sources(ask: Request, n_classes: int) -> tuple[Array, Source, list[Source]]:
    """The genes that all files have, sorted by name, and where the counts of each file are."""
    truth = ask.truth
    kind = modality_of(truth)
    columns = columns_of(truth, kind)
    shared = set(truth.var_names[columns].tolist())
    for guess in ask.guesses:
        shared &= set(guess.var_names.tolist())
        if len(shared) < 2:
            raise DataError(
                f"shares {len(shared)} features with {truth.name}",
                fix="names of features must agree; scgx info shows them",
                file=guess.name,
            )
        if units_of(guess, "X", kind) != "counts":
            raise DataError(
                f"X is {units_of(guess, 'X', kind)}, and synthetic cells are scored as counts",
                fix="scgx normalize --method counts restores them where it can",
                file=guess.name,
            )
    genes = np.array(sorted(shared), dtype=object)
    others = [Source(g, "X", _pairing.find(g.var_names, genes)) for g in ask.guesses]
    source = Source(truth, counts_key(truth, kind), _pairing.find(truth.var_names, genes))
    most = ask.sample * n_classes
    parts = [(source, min(truth.n_obs, 3 * most))]
    parts += [(other, min(other.cells.n_obs, most)) for other in others]
    largest = max((other.cells.n_obs for other in others), default=0)
    parts += [(source, min(largest, most))] * len({*BESIDE, *ask.baselines})
    _sampled.check_room(parts, ask.memory)
    return genes, source, others


def _some(ask: Request, cells: Cells, codes: Array, rows: Array) -> Array:
    """Rows of a part, at most so many of each class."""
    chosen = _sampled.some_of(cells.obs_names[rows], codes[rows], ask.sample, seed=ask.seed)
    return rows[chosen]


def _say_sampled(ask: Request, rows: Rows, chosen: list[Array], notes: list[str]) -> None:
    for name, every, some in zip(("training", "validation", "test"), rows, chosen, strict=False):
        have = int((rows.codes[every] >= 0).sum())
        if len(some) < have:
            notes.append(
                f"{len(some):,} of {have:,} {name} cells are used, at most {ask.sample:,} of a class"
                " (--sample)"
            )


def _made(
    ask: Request, source: Source, column: str, classes: tuple[str, ...], notes: list[str], name: str
) -> CellSet:
    """Made cells of the classes that are scored."""
    cells = source.cells
    words = cells.obs.strings(column)
    place = {word: code for code, word in enumerate(classes)}
    codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    chosen = _sampled.some_of(cells.obs_names, codes, ask.sample, seed=ask.seed)
    if not len(chosen):
        raise DataError(
            f"obs[{column!r}] holds none of the real classes ({classes[0]!r}, ...)",
            fix="name another column with --label",
            file=cells.name,
        )
    if strange := sorted({w for w in words if w is not None and w not in place}):
        notes.append(f"{name}: {len(strange)} classes are no real ones: {', '.join(strange[:5])}")
    lacking = [word for code, word in enumerate(classes) if not np.any(codes == code)]
    if lacking:
        notes.append(f"{name} has no cells of, and gets wrong: {', '.join(lacking[:5])}")
    if len(np.unique(codes[chosen])) < 2:
        raise DataError("holds cells of one real class; two are needed", file=cells.name)
    have = int((codes >= 0).sum())
    if len(chosen) < have:
        notes.append(
            f"{name}: {len(chosen):,} of {have:,} cells are used, at most {ask.sample:,} of a class"
            " (--sample)"
        )
    return _sampled.cell_set(source.read(chosen), codes[chosen])
