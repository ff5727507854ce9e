"""What the features of several files are called in common, so that the same gene is one column.

Files name genes by Ensembl ids (with or without version), by symbols, or by both (`ENSG...|TP53`). An
annotation translates symbols into ids. Without one, whatever all files have is used, names stay as they
are written where all files agree on their kind, and nothing is guessed. Names whose case differs are
matched last, and only between files that otherwise agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.cells.coordinates import GENES, gene_names
from scgx.errors import DataError, InputError
from scgx.genome import identity, peaks
from scgx.genome.annotation import Genes
from scgx.genome.lines import numbered
from scgx.h5ad.features import modalities
from scgx.h5ad.frame import Frame

Array = np.ndarray

AS_WRITTEN, CLASH = "as written", "another feature of the file is this gene"
CASE = "case ignored"
_SEPARATORS = re.compile(r"[|;]")


def read_symbols(path: Path, name: str) -> Genes:
    """A table of Ensembl ids and symbols as an annotation without places; columns by what they hold.

    Rows without an id (a header, `ENSGR...` of old tables) or a symbol tell nothing and are passed by.
    InputError where that is all of them.
    """
    ids: list[str] = []
    symbols: list[str] = []
    for _number, line in numbered(path, name):
        cells = [cell.strip() for cell in re.split(r"[\t,]", line)]
        found = next((cell for cell in cells if identity.ensembl_id(cell)), "")
        others = [cell for cell in cells if cell and cell != found]
        if found and others:
            ids.append(found)
            symbols.append(others[0])
    if not ids:
        raise InputError("has no Ensembl ids", fix="two columns: id and symbol", file=name)
    nowhere = np.full(len(ids), "", dtype=object)
    apart = 2 * np.arange(len(ids))  # ids of one symbol are different places, for all that is known
    words = (np.array(column, dtype=object) for column in (ids, symbols))
    gene_id, gene_name = words
    return Genes(gene_id, gene_name, nowhere, apart, apart + 1, nowhere, source=name)


class Named(NamedTuple):
    """n features of one file: `kinds` their modality, `keys` what they are matched by, `names` what
    they are called in the output, `symbols` (None where unknown), `how` the key was found, in words.
    """

    kinds: Array
    keys: Array
    names: Array
    symbols: Array
    how: Array

    def count(self, how: str) -> int:
        """How many genes were named that way."""
        return int(((self.how == how) & np.isin(self.kinds, GENES)).sum())


def harmonise(
    tables: Sequence[Frame],
    files: Sequence[str],
    genes: Genes | None = None,
    *,
    ignore_case: bool = False,
) -> list[Named]:
    """Keys and names of the features of every file; DataError where their kinds of ids have nothing
    in common, or a file has the same feature twice.
    """
    if genes is not None:
        keys = genes.key
        index = identity.Index(keys, genes.gene_name, genes.chrom, (genes.start, genes.end))
        known = keys, genes.gene_name
        found = [_annotated(var, index, known, ignore_case=ignore_case) for var in tables]
    else:
        by = _kind_of_key(tables, files)
        found = [_by_itself(var, by) for var in tables]
    found = [_unique(*each) for each in zip(found, tables, files, strict=True)]
    return _fold(found, ignore_case=ignore_case)


def _annotated(
    var: Frame, index: identity.Index, known: tuple[Array, Array], *, ignore_case: bool
) -> Named:
    """Ids and symbols (`known`, by row) of an annotation; what it lacks keeps its own id or name."""
    named = _as_written(var)
    rows = np.flatnonzero(np.isin(named.kinds, GENES))
    columns = [column[rows] for column in gene_names(var)]
    matched = identity.match(columns, index, ignore_case=ignore_case)
    ids, (keys, symbols) = _ids(var), known
    for row, at, how in zip(rows, matched.row, matched.how, strict=True):
        named.how[row] = identity.WORDS[how]
        if at >= 0:
            named.keys[row] = named.names[row] = keys[at]
            named.symbols[row] = symbols[at] or None
        elif ids[row]:
            named.keys[row] = named.names[row] = ids[row]
    return named


def _by_itself(var: Frame, by: str) -> Named:
    named = _as_written(var)
    values = {"id": _ids(var), "symbol": _symbols(var)}.get(by)
    if values is None:
        return named
    for row in np.flatnonzero(np.isin(named.kinds, GENES)):
        if values[row]:
            named.keys[row] = named.names[row] = values[row]
            named.how[row] = by
    return named


def _as_written(var: Frame) -> Named:
    """Names as they are; peaks match by place, whatever the spelling."""
    kinds, keys = modalities(var), var.index.astype(object)
    places = np.flatnonzero(kinds == "atac")
    found = peaks.parse(var.index[places])
    for row, chrom, start, end in zip(places, *found, strict=True):
        if start >= 0:
            keys[row] = f"{chrom}:{start}-{end}"
    how = np.full(len(var), AS_WRITTEN, dtype=object)
    return Named(kinds, keys, var.index.astype(object), _symbols(var), how)


def _kind_of_key(tables: Sequence[Frame], files: Sequence[str]) -> str:
    """`id`, `symbol` or `name`: what genes of all files can be matched by."""
    rows = [np.isin(modalities(var), GENES) for var in tables]
    tables = [var for var, mine in zip(tables, rows, strict=True) if mine.any()]
    files = [file for file, mine in zip(files, rows, strict=True) if mine.any()]
    rows = [mine for mine in rows if mine.any()]
    written = [
        _share(np.array([identity.ensembl_id(name) for name in var.index], object), mine)
        for var, mine in zip(tables, rows, strict=True)
    ]
    if all(share < 0.5 for share in written):
        return "name"
    if all(_share(_ids(var), mine) >= 0.5 for var, mine in zip(tables, rows, strict=True)):
        return "id"
    if all(_share(_symbols(var), mine) >= 0.5 for var, mine in zip(tables, rows, strict=True)):
        return "symbol"
    with_ids = next(file for file, share in zip(files, written) if share >= 0.5)
    without = next(file for file, share in zip(files, written) if share < 0.5)
    raise DataError(
        f"genes are Ensembl ids in {with_ids} and symbols in {without}",
        fix="--gtf FILE or --annotation gencode-human translates",
    )


def _share(words: Array, rows: Array) -> float:
    return float(np.mean([bool(word) for word in words[rows]]))


def _ids(var: Frame) -> Array:
    """The Ensembl id of each feature, without version; "" without one."""
    ids = np.full(len(var), "", dtype=object)
    for names in gene_names(var):
        for row, name in enumerate(names):
            if not ids[row] and name:
                ids[row] = identity.ensembl_id(name)
    return ids


def _symbols(var: Frame) -> Array:
    """The symbol of each gene: from a column, else what is no id in its name; None without one."""
    symbols = np.full(len(var), None, dtype=object)
    rows = np.flatnonzero(np.isin(modalities(var), GENES))
    for names in reversed(gene_names(var)):
        for row in rows:
            parts = _SEPARATORS.split(names[row]) if names[row] and symbols[row] is None else ()
            symbols[row] = next((p for p in parts if not identity.ensembl_id(p)), symbols[row])
    return symbols


def _unique(named: Named, var: Frame, file: str) -> Named:
    """One feature per key: of several the first stays, the others go by the name they had."""
    taken: set[tuple[str, str]] = set()
    again = []
    for row, pair in enumerate(zip(named.kinds, named.keys, strict=True)):
        if pair in taken:
            again.append(row)
        taken.add(pair)
    for row in again:
        kind, name = named.kinds[row], var.index[row]
        if (kind, name) in taken:
            raise DataError(
                f"has the feature {name!r} more than once",
                fix="scgx join --make-unique numbers them",
                file=file,
            )
        taken.add((kind, name))
        named.keys[row] = named.names[row] = name
        named.how[row] = CLASH
    return named


def _fold(found: list[Named], *, ignore_case: bool) -> list[Named]:
    """Take names whose case differs for the same where files agree otherwise."""
    known: dict[tuple[str, str], str] = {}
    folded: dict[tuple[str, str], str | None] = {}
    for named in found:
        pairs = list(zip(named.kinds, named.keys, strict=True))
        left = [row for row, pair in enumerate(pairs) if known and pair not in known]
        mine = set(pairs)
        if ignore_case or len(left) <= len(pairs) / 2:
            for row in left:
                kind, key = pairs[row]
                other = folded.get((kind, key.casefold()))
                if other is not None and (kind, other) not in mine and kind in GENES:
                    named.keys[row] = other
                    named.names[row] = known[kind, other]
                    named.how[row] = CASE
                    mine.add((kind, other))
        for kind, key, name in zip(named.kinds, named.keys, named.names, strict=True):
            if (kind, key) not in known:
                known[kind, key] = name
                fold = (kind, key.casefold())
                folded[fold] = key if folded.get(fold, key) == key else None
    return found
