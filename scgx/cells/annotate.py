"""Give features the places that an annotation has for them, and say what became of each.

What a file says itself stands; the annotation fills what is missing, and disagreement is counted.
An annotation of another genome is refused before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scgx.cells.coordinates import GENES, Coordinates, Found, gene_names
from scgx.errors import DataError
from scgx.genome import builds, identity
from scgx.genome.annotation import Genes
from scgx.h5ad.features import modalities
from scgx.h5ad.frame import Frame

_ENOUGH = 20  # places that have to be compared before they can prove another assembly
LEAST = 0.2  # share of the genes that an annotation has to know


@dataclass(frozen=True)
class Report:
    """What became of n features; `how` is one word per feature, for the table of `--report`."""

    genes: int = 0  # features that were looked up in the annotation
    by_id: int = 0
    by_symbol: int = 0
    by_case: int = 0
    ambiguous: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    from_names: int = 0
    kept: int = 0  # features whose place was in the file
    unplaced: int = 0
    share: float = 1.0  # of the genes, known to the annotation
    how: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    symbols: np.ndarray | None = None  # of genes that have an id only; None where all have names


def annotate(
    var: Frame,
    found: Found,
    genes: Genes | None,
    *,
    overwrite: bool = False,
    ignore_case: bool = False,
) -> tuple[Coordinates, Report]:
    """Places of features with those of an annotation filled in (or preferred, with `overwrite`).

    Without an annotation, the places that the table has by itself. Raises `DataError` where under a
    fifth of the genes are known, or most lie elsewhere: another genome, or other names.
    """
    if genes is None:
        return _by_itself(found)
    kinds = modalities(var)
    rows = np.flatnonzero(np.isin(kinds, GENES))
    names = [column[rows] for column in gene_names(var)]
    index = identity.Index(genes.key, genes.gene_name, genes.chrom, (genes.start, genes.end))
    matched = identity.match(names, index, ignore_case=ignore_case)
    _refuse_foreign(matched, names, genes, ignore_case=ignore_case)
    new = _places(len(var), rows, matched, genes)
    old = found.places
    both = new.placed & old.placed
    moved = both & ((new.chrom != old.chrom) | ((old.start >= 0) & _apart(old, new, 0)))
    _refuse_moved(old, new, both, genes.genome, overwrite=overwrite)
    take = new.placed & (overwrite | ~old.placed | (~moved & (old.start < 0)))
    result = old.filled(new, take)
    bare = np.array([strand is None for strand in result.strand], dtype=bool)
    result = result._replace(strand=np.where(both & ~moved & bare, new.strand, result.strand))
    how = np.where(old.placed, "in the file", "no place").astype(object)
    how[rows] = [identity.WORDS[code] for code in matched.how]
    how[moved & ~take] = "in the file, disagrees"
    report = Report(
        genes=len(rows),
        by_id=matched.count(identity.BY_ID),
        by_symbol=matched.count(identity.BY_SYMBOL),
        by_case=matched.count(identity.BY_CASE),
        ambiguous=_named(var, rows[matched.how == identity.AMBIGUOUS]),
        unmatched=_named(var, rows[matched.how == identity.UNMATCHED]),
        disagree=_named(var, np.flatnonzero(moved)),
        from_names=found.from_names,
        kept=int((old.placed & ~take).sum()) - found.from_names,
        unplaced=int((~result.placed).sum()),
        share=matched.share,
        how=how,
        symbols=_symbols(var, rows, matched, genes),
    )
    return result, report


def _symbols(
    var: Frame, rows: np.ndarray, matched: identity.Matched, genes: Genes
) -> np.ndarray | None:
    """The annotation's symbol of every gene that it knows, where the file has ids and nothing else."""
    if len(gene_names(var)) > 1 or not matched.count(identity.BY_ID):
        return None
    symbols = np.full(len(var), "", dtype=object)
    hit, at = rows[matched.row >= 0], matched.row[matched.row >= 0]
    symbols[hit] = genes.gene_name[at]
    return symbols


def _places(n: int, rows: np.ndarray, matched: identity.Matched, genes: Genes) -> Coordinates:
    """The annotation's places of n features, of which `rows` were looked up."""
    new = Coordinates.none(n)
    hit, at = rows[matched.row >= 0], matched.row[matched.row >= 0]
    new.chrom[hit], new.start[hit], new.end[hit] = genes.chrom[at], genes.start[at], genes.end[at]
    new.strand[hit] = [strand or None for strand in genes.strand[at]]
    return new


def _by_itself(found: Found) -> tuple[Coordinates, Report]:
    placed = found.places.placed
    report = Report(
        from_names=found.from_names,
        kept=int(placed.sum()) - found.from_names,
        unplaced=int((~placed).sum()),
        how=np.where(placed, "in the file", "no place").astype(object),
    )
    return found.places, report


def _named(var: Frame, rows: np.ndarray) -> list[str]:
    return var.index[rows].tolist()


def _apart(old: Coordinates, new: Coordinates, bases: int) -> np.ndarray:
    return (np.abs(old.start - new.start) > bases) | (np.abs(old.end - new.end) > bases)


def _refuse_moved(
    old: Coordinates, new: Coordinates, both: np.ndarray, genome: str, *, overwrite: bool
) -> None:
    """Refuse an annotation of another assembly: most genes lie far from where the file has them."""
    known = both & (old.start >= 0)
    far = known & ((old.chrom != new.chrom) | _apart(old, new, builds.NEAR))
    if not overwrite and known.sum() >= _ENOUGH and far.sum() > 0.5 * known.sum():
        assembly = f" ({builds.common_name(genome)})" if genome else ""
        raise DataError(
            f"{far.sum():,} of {known.sum():,} genes lie elsewhere in the annotation{assembly}",
            fix="use the annotation of the data's genome, or --overwrite to move them",
        )


def _refuse_foreign(
    matched: identity.Matched, names: list[np.ndarray], genes: Genes, *, ignore_case: bool
) -> None:
    n = len(matched.row)
    if not n or matched.share >= LEAST or (ignore_case and (matched.row >= 0).mean() >= LEAST):
        return
    theirs, ours = identity.species(genes.key), identity.species(np.concatenate(names))
    if theirs and ours and theirs != ours:
        fix = f"the file has {ours} ids, the annotation {theirs} ids"
    else:
        example = next((str(name) for name in names[0] if name), "")
        fix = f"is it the right genome? the file has {example!r}, the annotation {genes.key[0]!r}"
        folded = identity.match(
            names,
            identity.Index(genes.key, genes.gene_name, genes.chrom, (genes.start, genes.end)),
            ignore_case=True,
        )
        if (folded.row >= 0).mean() >= LEAST:
            fix = "another species? else --ignore-case: most names match but for their case"
    raise DataError(f"the annotation knows {matched.share:.1%} of {n:,} genes", fix=fix)
