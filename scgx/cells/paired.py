"""What `join` makes of several files: which rows, which features, one obs, one var.

Nothing of the matrices is touched here; `h5ad.stack` writes them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.cells import join
from scgx.cells.join import Array, Pairing
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import WORDS, modalities, parse_modality
from scgx.h5ad.frame import Column, Frame, Nullable, categorical
from scgx.h5ad.names import make_unique
from scgx.h5ad.stack import Part

_POSITIONS = ("start", "end", "tss")  # whole numbers, -1 where a feature has none


class Paired(NamedTuple):
    """The parts of a join with their rows paired, and how each was paired with the first."""

    parts: list[Part]
    rules: list[str]


def kinds_of(cells: Sequence[Cells], given: str | None) -> list[Array]:
    """The modality of every feature, per file; `given` is `rna,atac`, a word per file."""
    words = given.split(",") if given else []
    if words and len(words) != len(cells):
        raise UsageError(f"--as names {len(words)} modalities for {len(cells)} files")
    kinds = [modalities(one.var) for one in cells]
    if words:
        kinds = [
            np.full(len(k), _named(word), object) for k, word in zip(kinds, words, strict=True)
        ]
    for i, one in enumerate(kinds):
        for j in range(i):
            alike = sorted(set(one) & set(kinds[j]))
            if alike:
                raise DataError(
                    f"{cells[j].name} and {cells[i].name} both hold {', '.join(alike)}",
                    fix="--as rna,activity says which is which",
                )
    return kinds


def _named(word: str) -> str:
    try:
        return parse_modality(word)
    except DataError as error:
        raise UsageError(f"--as: {error.what}", fix=error.fix) from None


def pair_all(cells: Sequence[Cells], kinds: Sequence[Array], *, by_position: bool) -> Paired:
    """Rows of every file for the cells that all have, in the order of the first."""
    first = cells[0].obs_names
    join.refuse_repeats(first, "cell")
    pairings: list[Pairing] = []
    for other in cells[1:]:
        try:
            pairings.append(join.pair(first, other.obs_names, by_position=by_position))
        except DataError as error:
            error.file = error.file or other.name
            raise
    keep = np.ones(len(first), dtype=bool)
    for pairing in pairings:
        keep &= np.isin(np.arange(len(first)), pairing.first)
    if not keep.any():
        raise DataError("no cell is in all files", fix="join two at a time to see which")
    rows = [np.flatnonzero(keep)]
    rows += [p.second[keep[p.first]] for p in pairings]
    parts = [
        Part(one, kind, own, np.arange(one.n_var), one.var_names, name_of(kind))
        for one, kind, own in zip(cells, kinds, rows, strict=True)
    ]
    return Paired(parts, [pairing.rule for pairing in pairings])


def name_of(kinds: Array) -> str:
    """The modality that a file is called by: its only one, or the first of several."""
    return str(kinds[0]) if len(kinds) else "rna"


def keep_shared(parts: Sequence[Part]) -> list[Part]:
    """Leave out the genes that one of the gene modalities lacks; peaks and antibodies stay."""
    genes = [i for i, part in enumerate(parts) if set(part.kinds) & {"rna", "activity"}]
    if len(genes) < 2:
        raise DataError("--shared-genes needs genes in two files", fix="rna and activity")
    masks = [np.isin(parts[i].kinds.astype(str), ["rna", "activity"]) for i in genes]
    ids = [gene_ids(parts[i])[mask] for i, mask in zip(genes, masks, strict=True)]
    made = list(parts)
    for i, mask, shared in zip(genes, masks, join.shared_genes(ids), strict=True):
        keep = ~mask
        keep[np.flatnonzero(mask)[shared]] = True
        made[i] = made[i].take(np.flatnonzero(keep))
    return made


def name_features(parts: Sequence[Part], *, unique: bool) -> list[Part]:
    """Unique names over all files. Repeats within one are refused, or numbered with `unique`."""
    made = []
    for part in parts:
        names = part.names
        if unique:
            names = make_unique(names)
        try:
            join.refuse_repeats(names, "feature")
        except DataError as error:
            error.file, error.fix = part.cells.name, "--make-unique numbers them"
            raise
        made.append(part._replace(names=names))
    fresh = join.unique_features([p.names for p in made], [p.modality for p in made])
    return [part._replace(names=names) for part, names in zip(made, fresh, strict=True)]


def gene_ids(part: Part) -> Array:
    """The id of each kept feature: var["gene_id"], var["gene_ids"], else its name in the file."""
    var = part.cells.var.take(part.columns)
    for column in ("gene_id", "gene_ids"):
        if column in var:
            words = var.strings(column)
            return np.array([w or n for w, n in zip(words, var.index, strict=True)], dtype=object)
    return var.index


def var_of(parts: Sequence[Part]) -> Frame:
    """One table of features: 10x words for the modality, every column that a file has."""
    names = np.concatenate([part.names for part in parts])
    kinds = [str(kind) for part in parts for kind in part.kinds]
    frame = Frame(names).with_column("feature_types", categorical(WORDS.get(k, k) for k in kinds))
    if any(not np.array_equal(p.names, p.cells.var_names[p.columns]) for p in parts):
        own = [gene_ids(p) for p in parts]
        ids = [None if k == "atac" else g for g, k in zip(np.concatenate(own), kinds, strict=True)]
        frame = frame.with_column("gene_id", categorical(ids))
    tables = [part.cells.var.take(part.columns) for part in parts]
    for column in dict.fromkeys(name for table in tables for name in table.columns):
        if column not in frame:
            frame = frame.with_column(column, _stacked(tables, column))
    return frame


def _stacked(tables: Sequence[Frame], column: str) -> Column:
    """A column of several tables one below the other; missing where a table lacks it."""
    lacks = [np.full(len(t), column not in t) for t in tables]
    absent = np.concatenate(lacks)
    having = [t[column] for t in tables if column in t]
    plain = [c for c in having if isinstance(c, np.ndarray) and c.dtype.kind in "iufb"]
    if len(plain) < len(having):
        words = [t.strings(column) if column in t else np.full(len(t), None) for t in tables]
        return categorical(np.concatenate(words))
    dtype = np.result_type(*plain)
    values = np.concatenate(
        [np.asarray(t[column], dtype) if column in t else np.zeros(len(t), dtype) for t in tables]
    )
    if column in _POSITIONS:
        whole = np.where(np.isfinite(values.astype(float)), values, -1).astype(np.int64)
        return np.where(absent, -1, whole)
    if not absent.any():
        return values
    return np.where(absent, np.nan, values) if dtype.kind == "f" else Nullable(values, absent)


def obs_of(parts: Sequence[Part], metadata: Frame | None) -> join.Merged:
    """One table of cells, named as in the first file."""
    frames = [part.cells.obs.take(part.rows) for part in parts]
    prefixes = [join.PREFIXES.get(part.modality, part.modality.upper() + "_") for part in parts]
    if metadata is not None:
        frames.append(metadata)
        prefixes.append("META_")
    return join.merge_obs(frames, prefixes)


def one_genome(cells: Sequence[Cells]) -> None:
    """Refuse to put two assemblies into one file."""
    named = {str(one.scgx["genome"]): one.name for one in cells if "genome" in one.scgx}
    if len(named) > 1:
        words = " and ".join(f"{name} is on {genome}" for genome, name in named.items())
        raise DataError(words, fix="bring one of them to the other's assembly first")
