"""Where the features of a table say they are: in columns of var, in names; and how that is written.

A feature without a place has chrom missing and positions -1, never a NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.genome import builds, chroms, identity, peaks
from scgx.genome.starts import tss
from scgx.h5ad.features import Features, modalities
from scgx.h5ad.frame import Categorical, Frame, categorical

GENES = ("rna", "activity")  # the modalities whose features are genes
_CHROMS = ("chromosome", "chr", "Chromosome", "chromosome_name", "seqname", "seqnames", "contig")
_STARTS = ("start", "start_position", "chromStart", "gene_start", "Start")
_ENDS = ("end", "end_position", "chromEnd", "gene_end", "End")
_IDS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_gene_id", "feature_id")
_SYMBOLS = ("gene_name", "gene_symbol", "gene_symbols", "feature_name", "symbol", "gene_short_name")
_NO_NUMBER = {"", "nan", "NaN", "NA", "."}


class Coordinates(NamedTuple):
    """Places of n features: chrom (object, None missing), positions int64 (-1 missing), strand."""

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray  # "+", "-" or None

    @classmethod
    def none(cls, n: int) -> Coordinates:
        """n features without a place."""
        nowhere = np.full(n, -1, dtype=np.int64)
        return cls(_nothing(n), nowhere, nowhere.copy(), _nothing(n))

    @property
    def placed(self) -> np.ndarray:
        """True where the chromosome is known."""
        return np.array([name is not None for name in self.chrom], dtype=bool)

    def filled(self, other: Coordinates, where: np.ndarray) -> Coordinates:
        """The places of `other` where the mask is true."""
        return Coordinates(*(np.where(where, b, a) for a, b in zip(self, other, strict=True)))


class Found(NamedTuple):
    """Places that a table has by itself, and what was odd about them."""

    places: Coordinates
    from_names: int  # features whose place came from their name
    unknown: dict[str, int]  # chromosomes of no known kind
    renamed: dict[str, str]  # numbers read as X, Y or M


def from_table(var: Frame, *, chrom_col: str | None = None) -> Found:
    """Places from the columns of var, then from an `interval` column, then from peak names.

    Without `chrom_col` the column is `chrom`; another that looks like it is a `DataError` that
    names it, because a column may hold anything.
    """
    n = len(var)
    places, spelled = _from_columns(var, chrom_col)
    named = Coordinates.none(n)
    if "interval" in var:
        named = _parsed(var.strings("interval"))
    kinds = modalities(var)
    is_peak = kinds == "atac"
    if is_peak.any():
        parsed = _parsed(np.where(is_peak, var.index, _nothing(n)))
        named = named.filled(parsed, parsed.placed & ~named.placed)
    use = named.placed & (~places.placed | ((places.start < 0) & (places.chrom == named.chrom)))
    places = places.filled(named, use)
    others = [name for name in _CHROMS if name in var]
    if chrom_col is None and "chrom" not in var and others and not places.placed.all():
        what = f"var has no column 'chrom', found {others[0]!r}"
        raise DataError(what, fix=f"use --chrom-col {others[0]}")
    return Found(places, int(use.sum()), spelled.unknown, spelled.renamed)


def features(var: Frame, columns: np.ndarray, modality: str) -> Features:
    """Some features (int64 columns) of one modality and where they lie, chromosomes in one spelling.

    A column that only looks like a chromosome is not believed here: nobody can be asked.
    """
    known = var if "chrom" in var else var.without(_CHROMS)
    places = Coordinates(*(part[columns] for part in from_table(known).places))
    frame = var.take(columns)
    starts = tss(places.start, places.end, places.strand)
    if "tss" in frame:
        given = frame.numbers("tss")
        starts = np.where(np.isnan(given) | (given < 0), starts, given).astype(np.int64)
    starts = np.where((places.start >= 0) & (modality != "atac"), starts, -1)
    return Features(
        frame.index, modality, places.chrom, places.start, places.end, places.strand, starts
    )


def _from_columns(var: Frame, chrom_col: str | None) -> tuple[Coordinates, chroms.Chroms]:
    empty = Coordinates.none(len(var))
    column = chrom_col or "chrom"
    if column not in var:
        if chrom_col is not None:
            raise DataError(f"var has no column {chrom_col!r}", fix=_has(var))
        return empty, chroms.Chroms(empty.chrom, {}, {})
    spelled = chroms.normalise(var.strings(column))
    start_name = next((name for name in _STARTS if name in var), None)
    end_name = next((name for name in _ENDS if name in var), None)
    start, end = empty.start, empty.end
    if start_name and end_name:
        shift = 1 if start_name == "start_position" else 0  # biomaRt counts from 1
        start, end = _positions(var, start_name), _positions(var, end_name)
        known = (start >= shift) & (end >= 0)
        start, end = np.where(known, start - shift, -1), np.where(known, end, -1)
        if (start > end).any():
            raise DataError(f"{int((start > end).sum()):,} features start behind their end")
    strand = empty.strand
    if "strand" in var:
        words = {"+": "+", "-": "-", "1": "+", "-1": "-", "1.0": "+", "-1.0": "-"}
        strand = np.array([words.get(str(w)) for w in var.strings("strand")], dtype=object)
    return Coordinates(spelled.names, start, end, strand), spelled


def _has(var: Frame) -> str:
    return "columns here: " + (", ".join(list(var.columns)[:12]) or "none")


def _positions(var: Frame, name: str) -> np.ndarray:
    """Positions as int64, -1 where missing; text with thousands separators is understood."""
    column = var[name]
    text = isinstance(column, np.ndarray) and column.dtype.kind in "OU"
    if text or isinstance(column, Categorical):
        words = [w.replace(",", "").strip() if w else "" for w in var.strings(name)]
        numbers = [w for w in words if w not in _NO_NUMBER]
        bad = [w for w in numbers if not w.removesuffix(".0").lstrip("-").isdigit()]
        if bad:
            raise DataError(f"var column {name!r} holds {bad[0]!r} where a position should be")
        return np.array([-1 if w in _NO_NUMBER else int(float(w)) for w in words], dtype=np.int64)
    values = var.numbers(name)
    return np.where(np.isfinite(values), values, -1).astype(np.int64)


def _nothing(n: int) -> np.ndarray:
    return np.array([None] * n, dtype=object)


def _parsed(names: np.ndarray) -> Coordinates:
    found = peaks.parse(names)
    return Coordinates(found.chrom, found.start, found.end, _nothing(len(names)))


def gene_names(var: Frame) -> list[np.ndarray]:
    """What genes may be called by: ids first, then the index, then symbols."""
    columns = [name for name in (*_IDS, *_SYMBOLS) if name in var]
    before = [var.strings(name) for name in columns if name in _IDS]
    return [*before, var.index, *(var.strings(name) for name in columns if name in _SYMBOLS)]


def genome_of(var: Frame, declared: object, places: Coordinates | None = None) -> str:
    """The assembly of a file: as recorded, as 10x writes it in var, or from landmark genes."""
    if isinstance(declared, str) and declared:
        return builds.assembly(declared) or declared
    if "genome" in var:
        words = {builds.assembly(str(w)) for w in set(var.strings("genome")) if w}
        if len(words - {""}) == 1:
            return (words - {""}).pop()
    if places is not None and (places.start >= 0).any():
        for names in gene_names(var):
            keys = np.array([identity.without_version(n or "") for n in names], dtype=object)
            if seen := builds.detect(keys, places.chrom, places.start):
                return seen
    return ""


def with_columns(var: Frame, places: Coordinates, kinds: np.ndarray) -> Frame:
    """var with chrom, start, end, strand and, for genes, tss (-1 elsewhere)."""
    present = sorted({c for c in places.chrom if c is not None}, key=chroms.rank)
    site = tss(places.start, places.end, places.strand)
    site = np.where(np.isin(kinds, GENES), site, -1)
    var = var.with_column("chrom", categorical(places.chrom, present))
    var = var.with_column("start", places.start).with_column("end", places.end)
    var = var.with_column("strand", categorical(places.strand, ["+", "-"]))
    return var.with_column("tss", site)


def genome_order(places: Coordinates, kinds: np.ndarray) -> np.ndarray:
    """The permutation into genome order within each modality, modalities as they first appear."""
    first = {kind: i for i, kind in enumerate(dict.fromkeys(kinds.tolist()))}
    order = chroms.genome_order(places.chrom, places.start, places.end)
    block = np.array([first[kind] for kind in kinds], dtype=np.int64)
    return order[np.argsort(block[order], kind="stable")].astype(np.int64)
