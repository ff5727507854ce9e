"""Cells of an atlas in pairs, laid out as a screen: what goes with a gene, not what follows from it.

In an atlas nobody perturbed anything. Two cells of one type, donor and batch differ in many genes; one
of those is taken as if it had been changed, and a model is asked for the others. It can learn which
genes go together, never which one is the cause, and whatever is written here says so.

Genes are chosen before pairs are labelled, in one pass over the pairs: those whose values differ most
between partners, where a pair that did not measure a gene counts as no difference, so that genes have
to be measured and expressed. Each pair is labelled with one gene, at random among those that both cells
measured and that differ by more than is usual for the gene.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from scgx.cells import perturbations
from scgx.cells.normalize import row_totals
from scgx.cells.perturbations import CONTROL, Perturbation
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.measured import Measured, measured_of
from scgx.h5ad.names import hash_names
from scgx.learn.convert import totals_of
from scgx.learn.places import find
from scgx.learn.strata import Strata, strata_of
from scgx.progress import bar
from scgx.registry import suggest

Array: TypeAlias = np.ndarray

WITHIN = (
    "cell_type", "donor", "donor_id", "batch", "dataset_id", "gem_group", "suspension_type", "assay",
)  # fmt: skip
"""Columns in which partners agree, where the file has them."""
CHUNK = 1_024  # pairs at a time
USUAL = 1.0  # deviations by which a gene has to differ


class Wanted(NamedTuple):
    """How many genes and pairs (None: all there are); the least share of cells a gene is seen in."""

    genes: int = 100
    pairs: int | None = None
    seen: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Paired:
    """Rows (ascending, int64), columns (ascending), obs of these rows with `perturbation`, what to say.

    `totals` float64 (n,) of the rows, None where the values are no counts; `mark` says of what kind
    the labels are.
    """

    rows: Array
    columns: Array
    obs: Frame
    totals: Array | None
    mark: str
    notes: list[str]


class _Seen(NamedTuple):
    """Per gene over pairs: squared differences, pairs that measured it, cells that have it; totals."""

    squares: Array
    measured: Array
    present: Array
    totals: Array


def within(obs: Frame, asked: Sequence[str]) -> list[str]:
    """The columns in which partners agree: those asked for, else the known ones that are there."""
    for column in asked:
        if column not in obs:
            near = suggest(column, list(obs.columns))
            raise DataError(f"obs has no column {column!r} to pair within", fix=near)
    found = list(dict.fromkeys(asked)) or [column for column in WITHIN if column in obs]
    if not found:
        raise DataError("no column of obs says which cells compare", fix="--within COLUMN")
    return found


def pair(cells: Cells, columns: Sequence[str], wanted: Wanted) -> Paired:
    """Pairs of cells that agree in `columns`, one gene each; DataError where there are none.

    Same names and seed, same pairs, in any order of the rows. Partners measured the same genes.
    """
    cells.require_unique("obs", "var")
    _refuse_screens(cells.obs)
    measured = measured_of(cells)
    agree = [*columns, *([measured.key] if measured and measured.key not in columns else [])]
    strata = strata_of(cells.obs, agree, np.arange(cells.n_obs))
    partners = _partners(cells, strata, wanted)
    seen, read = _look(cells, partners, measured)
    some = np.maximum(2 * seen.measured, 1)
    able = (seen.measured > 0) & (seen.squares > 0) & (seen.present / some >= wanted.seen)
    if not able.any():
        fix = "--min-seen takes rarer genes"
        raise DataError(f"no gene is in {wanted.seen:.0%} of the cells and differs", fix=fix)
    spread = np.where(able, seen.squares / len(partners), -1.0)
    chosen = np.sort(np.argsort(-spread, kind="stable")[: min(wanted.genes, int(able.sum()))])
    usual = USUAL * np.sqrt(seen.squares[chosen] / seen.measured[chosen])
    label = _labels(read, partners, chosen, usual, wanted.seed)
    kept = label != 0
    if not kept.any():
        raise DataError("no pair of cells differs in any gene")
    notes = [
        f"{int(kept.sum()):,} pairs within {', '.join(agree)} ({len(strata.levels):,} strata)",
        f"{len(chosen):,} of {int(able.sum()):,} genes that are in {wanted.seen:.0%} of the cells",
    ]
    if lost := int((~kept).sum()):
        notes.append(f"{lost:,} pairs differ in none of them, or have an empty cell: left out")
    mark = f"cells paired within {', '.join(agree)}: correlation, not cause"
    columns_kept = read.columns[chosen]
    obs, rows = _obs(cells, partners[kept], label[kept], _names(cells, columns_kept))
    totals = seen.totals[rows] if read.counts else None
    return Paired(rows, columns_kept, obs, totals, mark, notes)


def _refuse_screens(obs: Frame) -> None:
    for column in perturbations.COLUMNS:
        if perturbations.is_screen(obs, column):
            fix = "scgx split --by perturbation, then scgx train --label"
            raise DataError(f"obs[{column!r}] says who was perturbed: that is a screen", fix=fix)
    if "perturbation" in obs:
        raise DataError("obs has a column 'perturbation' already", fix="give it another name")


def _partners(cells: Cells, strata: Strata, wanted: Wanted) -> Array:
    """Rows int64 (pairs, 2); within a stratum cells go in the order of their hashes, two by two."""
    codes = strata.codes(cells.obs)
    ranks = hash_names(f"pairs\0{wanted.seed}\0{name}" for name in cells.obs_names)
    order = np.lexsort((ranks, codes))
    order = order[codes[order] >= 0]
    sizes = np.bincount(codes[order], minlength=len(strata.levels))
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = (place % 2 == 0) & (place + 1 < np.repeat(sizes, sizes))
    at = np.flatnonzero(first)
    made = np.stack([order[at], order[at + 1]], axis=1)
    if not len(made):
        raise DataError(
            f"no two cells agree in {', '.join(strata.columns)}", fix="--within with fewer columns"
        )
    lowest = np.argsort(ranks[made[:, 0]], kind="stable")
    return made[lowest[: wanted.pairs]]


class _Reader:
    """Differences of pairs in log1p-CP10k, chunk by chunk, in the order of the first cell's row."""

    def __init__(self, cells: Cells, measured: Measured | None) -> None:
        found = find(cells, "rna", None, "log1p-cp10k")
        assert found.conversion is not None
        if found.key == "raw/X":  # of all genes, and the pairs are of some
            raise DataError("only raw has counts, and pairs are of X", fix="scgx normalize first")
        self.cells, self.columns, self.measured = cells, found.columns, measured
        self.conversion = found.conversion
        self.totals = totals_of(cells, "rna") if self.conversion.uses_totals else None

    @property
    def counts(self) -> bool:
        """Are the sums of rows counts?"""
        return self.conversion.have in ("counts", "binary")

    def chunks(self, partners: Array) -> Iterator[tuple[Array, Array, sparse.csr_array, Array]]:
        """(which pairs, their rows (n, 2), values (2n, genes) first cells first, raw totals (2n,))."""
        order = np.argsort(partners[:, 0], kind="stable")
        with bar("pairs", len(partners)) as advance:
            for start in range(0, len(order), CHUNK):
                which = order[start : start + CHUNK]
                rows = partners[which].T.ravel()
                ascending = np.argsort(rows, kind="stable")
                back = np.argsort(ascending, kind="stable")
                block = self.cells.rows(self.conversion.key, rows[ascending], self.columns)
                sums = row_totals(block)[back]
                if self.totals is not None:
                    sums = self.totals[rows]
                depth = None if self.totals is None else self.totals[rows[ascending]]
                values = self.conversion.apply(block, depth)[back]
                advance(len(which))
                yield which, partners[which], sparse.csr_array(values), sums

    def both(self, rows: Array, columns: Array | None = None) -> Array | None:
        """Which genes these pairs measured, bool (n, genes); None where all were."""
        if self.measured is None:
            return None
        at = self.columns if columns is None else self.columns[columns]
        return self.measured.of(rows[:, 0], at)


def _look(cells: Cells, partners: Array, measured: Measured | None) -> tuple[_Seen, _Reader]:
    """One pass over the pairs: how much each gene differs, who has it, how much each cell holds."""
    read = _Reader(cells, measured)
    width = len(read.columns)
    squares, known, present = np.zeros(width), np.zeros(width), np.zeros(width)
    totals = np.zeros(cells.n_obs)
    for _which, rows, values, sums in read.chunks(partners):
        n = len(rows)
        totals[rows.T.ravel()] = sums
        full = (sums[:n] > 0) & (sums[n:] > 0)
        apart = sparse.csr_array(values[n:] - values[:n])[full]
        both = read.both(rows)
        apart = apart if both is None else sparse.csr_array(apart.multiply(both[full]))
        squares += np.asarray(apart.multiply(apart).sum(axis=0), np.float64).ravel()
        present += np.bincount(values.indices[values.data > 0], minlength=width)
        known += n if both is None else both.sum(axis=0)
    return _Seen(squares, known, present, totals), read


def _labels(read: _Reader, partners: Array, chosen: Array, usual: Array, seed: int) -> Array:
    """Which gene each pair is labelled with: number from 1, negative where the second cell has less,
    0 where none differs enough.
    """
    draw = np.random.default_rng([seed, 17]).random(len(partners))
    label = np.zeros(len(partners), dtype=np.int64)
    for which, rows, values, sums in read.chunks(partners):
        n = len(which)
        some = values[:, chosen]
        apart = (some[n:] - some[:n]).toarray()
        able = np.abs(apart) > usual
        both = read.both(rows, chosen)
        able &= True if both is None else both
        able &= ((sums[:n] > 0) & (sums[n:] > 0))[:, None]
        number = able.sum(axis=1)
        nth = np.minimum((draw[which] * number).astype(np.int64), number - 1)
        gene = (np.cumsum(able, axis=1) > nth[:, None]).argmax(axis=1)
        sign = np.sign(apart[np.arange(n), gene]).astype(np.int64)
        label[which] = np.where(number > 0, sign * (gene + 1), 0)
    return label


def _names(cells: Cells, columns: Array) -> list[str]:
    """What genes are called in labels: symbols that are unique and read as one target, else ids."""
    var = cells.var.take(columns)
    ids = var.index.tolist()
    for column in ("gene_name", "feature_name", "gene_symbol", "gene_symbols"):
        if column in var:
            words = var.strings(column)
            often = Counter(words)
            return [
                word if word and often[word] == 1 and _is_one(word) else name
                for word, name in zip(words, ids)
            ]
    return ids


def _is_one(word: str) -> bool:
    """Is it read as one target, and no dose?"""
    return "=" not in word and perturbations.parse(word).targets == (word,)


def _obs(cells: Cells, partners: Array, label: Array, names: list[str]) -> tuple[Frame, Array]:
    """Obs of all paired cells in the order of their rows: the first of a pair is the control."""
    rows = np.sort(partners.ravel())
    place = {int(row): i for i, row in enumerate(rows)}
    words = np.full(len(rows), CONTROL, dtype=object)
    source = cells.obs_names[rows].astype(object)
    for (first, second), gene in zip(partners.tolist(), label.tolist()):
        one = Perturbation((names[abs(gene) - 1],), (1.0 if gene > 0 else -1.0,))
        words[place[second]] = one.label
        source[place[second]] = cells.obs_names[first]
    obs = cells.obs.take(rows).with_column("perturbation", categorical(words.tolist()))
    return obs.with_column("scgx_control", source), rows
