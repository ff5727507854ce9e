"""Which gene a feature is: Ensembl ids without version first, then symbols, never a guess.

A symbol with several loci stays without a place and is reported. Genes of the pseudoautosomal
regions have one id on X and another, `..._PAR_Y`, on Y; they are kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_ENSEMBL = re.compile(r"ENS[A-Z]{0,6}G\d{11}")
_VERSIONED = re.compile(r"(ENS[A-Z]{0,6}[GTPER]+\d{11})(?:\.\d+)?(_PAR_Y)?")
_WITHIN = re.compile(r"(?:^|[|;:,_\s])(ENS[A-Z]{0,6}G\d{11})(?:\.\d+)?(_PAR_Y)?(?=$|[|;:,_\s])")
_JOINED = re.compile(r"[|;]")

UNMATCHED, BY_ID, BY_SYMBOL, BY_CASE, AMBIGUOUS = range(5)
WORDS = ("unmatched", "id", "symbol", "symbol, case ignored", "ambiguous")


def without_version(gene_id: str) -> str:
    """`ENSG00000141510.19` -> `ENSG00000141510`; `_PAR_Y` and other kinds of ids stay."""
    match = _VERSIONED.fullmatch(gene_id)
    return match[1] + (match[2] or "") if match else gene_id


def ensembl_id(name: str) -> str:
    """The Ensembl gene id, without version, within `ENSG00000141510.19|TP53`; "" without one."""
    if "ENS" not in name:
        return ""
    match = _WITHIN.search(name)
    return match[1] + (match[2] or "") if match else ""


def species(names: Iterable[object]) -> str:
    """The prefix of most Ensembl ids: `ENSG` (human), `ENSMUSG` (mouse); "" without any."""
    found: dict[str, int] = {}
    for name in names:
        match = _ENSEMBL.match(ensembl_id(str(name)))
        if match:
            prefix = match[0][:-11]
            found[prefix] = found.get(prefix, 0) + 1
    return max(found, key=lambda prefix: found[prefix]) if found else ""


@dataclass(frozen=True)
class Matched:
    """For n features: `row` in the annotation (int64, -1 = none) and `how` (a code of `WORDS`)."""

    row: np.ndarray
    how: np.ndarray
    loci: np.ndarray  # number of places that an ambiguous symbol has

    def count(self, how: int) -> int:
        """How many features were matched that way."""
        return int((self.how == how).sum())

    @property
    def share(self) -> float:
        """Share of features that the annotation knows at all, exactly spelled."""
        known = np.isin(self.how, (BY_ID, BY_SYMBOL, AMBIGUOUS))
        return float(known.mean()) if len(self.how) else 0.0


class Index:
    """Rows of an annotation by id and by symbol."""

    def __init__(
        self,
        key: np.ndarray,
        symbol: np.ndarray,
        chrom: np.ndarray,
        span: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """`key`: ids without version; `chrom`: normalised; `span`: start and end, 0-based."""
        self._chrom = chrom
        self._start, self._end = span
        self._ids = _rows_of(key)
        self._symbols = _rows_of(symbol)
        self._folded: dict[str, list[int]] | None = None

    def find(self, names: Sequence[str | None]) -> tuple[int, int, int]:
        """(row, how, loci) of a feature that goes by any of these names."""
        given = [name for name in names if name]
        for name in given:
            gene_id = ensembl_id(name) or name
            if gene_id in self._ids:
                return self._best(self._ids[gene_id], BY_ID)
        for name in given:
            for part in (name, *_JOINED.split(name)):
                if part in self._symbols:
                    return self._best(self._symbols[part], BY_SYMBOL)
        return -1, UNMATCHED, 0

    def find_folded(self, names: Sequence[str | None]) -> tuple[int, int, int]:
        """The same by symbols whose case differs (mouse symbols in capitals)."""
        if self._folded is None:
            self._folded = {}
            for symbol, places in self._symbols.items():
                self._folded.setdefault(symbol.casefold(), []).extend(places)
        for name in names:
            for part in _JOINED.split(name) if name else ():
                if part.casefold() in self._folded and not _ENSEMBL.match(part):
                    return self._best(self._folded[part.casefold()], BY_CASE)
        return -1, UNMATCHED, 0

    def _best(self, places: list[int], how: int) -> tuple[int, int, int]:
        """One row where all places are one locus, or where only one is on a chromosome proper.

        X stands for X and Y: a pseudoautosomal gene is one gene.
        """
        proper = [row for row in places if _proper(self._chrom[row])] or places
        if {self._chrom[row] for row in proper} == {"chrX", "chrY"}:
            proper = [row for row in proper if self._chrom[row] == "chrX"]
        first = proper[0]
        for row in proper[1:]:
            apart = self._start[row] >= self._end[first] or self._end[row] <= self._start[first]
            if self._chrom[row] != self._chrom[first] or apart:
                return -1, AMBIGUOUS, len(proper)
        return first, how, 1


def match(names: Sequence[np.ndarray], index: Index, *, ignore_case: bool) -> Matched:
    """Find n features in an annotation by their names: one array per kind of name, best kind first.

    Names whose case differs are tried last, for what is left: always where most features match as
    they are written, else only with `ignore_case` (human symbols are mouse symbols in capitals).
    """
    columns = list(zip(*names, strict=True))
    found = [index.find(given) for given in columns]
    result = _matched(found)
    if ignore_case or result.share >= 0.5:
        for i in np.flatnonzero(result.how == UNMATCHED):
            found[i] = index.find_folded(columns[i])
        result = _matched(found)
    return result


def _matched(found: list[tuple[int, int, int]]) -> Matched:
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Matched(table[:, 0], table[:, 1].astype(np.int8), table[:, 2])


def _rows_of(names: np.ndarray) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        rows.setdefault(name, []).append(i)
    return rows


def _proper(chrom: str | None) -> bool:
    return chrom is not None and chrom.startswith("chr") and "_" not in chrom
