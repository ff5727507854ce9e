"""The features of a concatenation: which there are, in which order, and what var says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scgx.cells import peaks_union
from scgx.cells.append import Appended, merge_features
from scgx.cells.concat_parts import Array, Columns, Options
from scgx.cells.coordinates import Coordinates, from_table, with_columns
from scgx.cells.genes import Named
from scgx.errors import DataError
from scgx.genome import chroms, peaks
from scgx.genome.peaks import Places
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import WORDS, modalities
from scgx.h5ad.frame import Frame


def with_peaks(files: Sequence[Cells], named: Sequence[Named], how: str | Places) -> list[Named]:
    """Peaks called by the one that they become; those that become none keep an empty key."""
    rows = [np.flatnonzero(own.kinds == "atac") for own in named]
    places = []
    for cells, mine in zip(files, rows, strict=True):
        found = from_table(cells.var).places
        places.append(Places(found.chrom[mine], found.start[mine], found.end[mine]))
        peaks_union.require_places(places[-1], cells.name)
    if not any(map(len, rows)):
        raise DataError("no file has peaks", fix="leave out --peaks")
    made = peaks_union.union(places) if isinstance(how, str) else peaks_union.onto(how, places)
    names = np.append(made.names, "")
    for own, mine, of in zip(named, rows, made.of, strict=True):
        own.keys[mine] = own.names[mine] = names[of]
        own.how[mine] = np.where(of >= 0, "overlap", "in no reference peak")
    return list(named)


def columns_of(named: Sequence[Named], masks: Sequence[Array], options: Options) -> Columns:
    """The columns of the output in one order: that of the first file, then what later ones add; a
    panel's own order; unified peaks in genome order, behind the genes.
    """
    place: dict[tuple[str, str], int] = {}
    names: list[str] = []
    measuring: dict[tuple[str, str], int] = {}
    total = sum(mask.shape[1] for mask in masks)
    for own, mask in zip(named, masks, strict=True):
        counted: set[tuple[str, str]] = set()
        for pair, name, n in zip(zip(own.kinds, own.keys), own.names, mask.sum(axis=1)):
            if not pair[1]:
                continue
            if place.setdefault(pair, len(names)) == len(names):
                names.append(name)
            if pair not in counted:
                measuring[pair] = measuring.get(pair, 0) + int(n)
                counted.add(pair)
    chosen = list(place)
    unified = options.peaks is not None
    if isinstance(options.genes, tuple):
        chosen = _panel(options.genes, place, names, unified=unified)
    elif options.genes == "inner":
        chosen = [p for p in place if measuring[p] == total or (unified and p[0] == "atac")]
    if unified:
        ours = [pair for pair in chosen if pair[0] == "atac"]
        found = peaks.parse([pair[1] for pair in ours])
        order = chroms.genome_order(*found)
        chosen = [p for p in chosen if p[0] != "atac"] + [ours[i] for i in order]
    if not chosen:
        raise DataError(
            "no feature is in every file",
            fix="the same kind of gene id? --gtf translates; --genes outer keeps all",
        )
    kinds = np.array([kind for kind, _key in chosen], dtype=object)
    called = _unique_names([names[place[pair]] for pair in chosen], kinds)
    at = {pair: i for i, pair in enumerate(chosen)}
    lookups = [
        np.array([at.get(pair, -1) for pair in zip(own.kinds, own.keys)], dtype=np.int64)
        for own in named
    ]
    return Columns(called, kinds, lookups)


def _panel(
    wanted: Sequence[str], place: dict[tuple[str, str], int], names: Sequence[str], *, unified: bool
) -> list[tuple[str, str]]:
    """The features that a panel names and some file has, in the panel's order."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    for pair, i in place.items():
        for word in dict.fromkeys((pair[1], names[i])):
            by_name.setdefault(word, []).append(pair)
    chosen = dict.fromkeys(pair for word in wanted for pair in by_name.get(word, ()))
    if unified:
        chosen |= dict.fromkeys(pair for pair in place if pair[0] == "atac")
    return list(chosen)


def _unique_names(names: Sequence[str], kinds: Array) -> Array:
    """Names that no two columns share: the modality behind those that an earlier one has."""
    taken: set[str] = set()
    unique = []
    for name, kind in zip(names, kinds, strict=True):
        fresh = name if name not in taken else f"{name}:{kind}"
        taken.add(fresh)
        unique.append(fresh)
    return np.array(unique, dtype=object)


def var_of(
    files: Sequence[Cells], named: Sequence[Named], columns: Columns, options: Options
) -> Appended:
    """The table of features. Peaks that were unified have places and a name of their own, and nothing
    of what a file said of one of them.
    """
    unified = (columns.kinds == "atac") & (options.peaks is not None)
    lookups = [np.where((at >= 0) & unified[at], -1, at) for at in columns.lookups]
    made = merge_features([cells.var for cells in files], lookups, columns.names)
    var = made.frame
    unsaid = modalities(var) != columns.kinds
    if unsaid.any():  # as of a file that does not say, beside one that does
        words = np.array([WORDS.get(kind, kind) for kind in columns.kinds], dtype=object)
        if "feature_types" in var:
            words = np.where(unsaid, words, var.strings("feature_types"))
        var = var.with_column("feature_types", words)
    if unified.any() and "chrom" in var:
        old, found = from_table(var).places, peaks.parse(columns.names)
        places = Coordinates(*found, old.strand)
        var = with_columns(var, old.filled(places, unified), columns.kinds)
    return made._replace(frame=_with_symbols(var, named, columns, options))


def _with_symbols(var: Frame, named: Sequence[Named], columns: Columns, options: Options) -> Frame:
    """var with gene_name, where genes are called by ids and a symbol is known."""
    symbols = np.full(len(var), None, dtype=object)
    for own, lookup in zip(named, columns.lookups, strict=True):
        kept = np.flatnonzero(lookup >= 0)
        fresh = np.array([symbols[at] is None for at in lookup[kept]], dtype=bool)
        symbols[lookup[kept][fresh]] = own.symbols[kept][fresh]
    if "gene_name" in var and options.annotation is None:
        return var
    if any(symbol is not None and symbol != name for symbol, name in zip(symbols, var.index)):
        words = np.array(["" if symbol is None else symbol for symbol in symbols], dtype=object)
        return var.with_column("gene_name", words)
    return var
