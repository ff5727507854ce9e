"""A slice of the CELLxGENE Census as h5ad: which cells, which genes, and who measured what.

Genes are chosen before any count is read, from what the Census says of each: `nnz` (cells in which
it was seen) and `n_measured_obs` (cells in which it was looked for). Which dataset measured which gene
travels along in varm["measured"], so that what nobody looked for is never taken for zero.

What holds the Census is a `Store` and nothing more, so that all of this works on any copy of one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from scipy import sparse

from scgx.cells import where as asked
from scgx.errors import DataError, UsageError
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.matrix import cut
from scgx.h5ad.measured import Measured, write_measured
from scgx.h5ad.writer import Writer
from scgx.progress import bar, say
from scgx.registry import suggest

Array = np.ndarray
_MOST_ROWS = 1 << 14
_WIDELY = 0.9  # of the cells in which the most measured gene was looked for


class Table(NamedTuple):
    """A table of the Census and the ids of its rows, ascending."""

    ids: Array
    frame: Frame


class Store(Protocol):
    """What a Census can be asked; `census_store` asks a real one."""

    def columns(self) -> dict[str, str]:
        """The columns of obs and what they hold: `word`, `truth` or `number`."""

    def obs(self, where: str) -> Table:
        """The cells that a SOMA value filter means."""

    def var(self) -> Table:
        """Every gene."""

    def datasets(self) -> Table:
        """Every dataset."""

    def presence(self, datasets: Array, genes: Array) -> Array:
        """Which datasets measured which genes, by their ids; bool (genes, datasets)."""

    def blocks(
        self, cells: Array, genes: Array, cuts: Sequence[tuple[int, int]]
    ) -> Iterator[sparse.csr_array]:
        """Counts of cells and genes (ids, ascending), cells start..stop at a time."""


class Slice(NamedTuple):
    """What is asked for: a condition on cells (None is all), and genes in words of `choose_genes`."""

    where: asked.Wish | None
    genes: str | None = None


def write(store: Store, wanted: Slice, out: Writer, *, memory: int) -> list[str]:
    """Write obs, var, X and who measured what; returns the citations of the datasets, sorted.

    Raises DataError where no cell or no gene is meant. `memory` in bytes.
    """
    columns = store.columns()
    cells = store.obs(soma_filter(wanted.where, columns) if wanted.where else "")
    if not len(cells.ids):
        raise DataError("no cell of the Census is that", fix="loosen --where")
    key = cells.frame.strings("dataset_id")
    datasets, rows = _datasets(store, key)
    genes = store.var()
    mask = store.presence(datasets.ids, genes.ids)
    chosen = choose_genes(genes.frame, np.asarray(mask.any(axis=1)), wanted.genes)
    say(f"{len(cells.ids):,} cells of {len(datasets.ids):,} datasets x {len(chosen):,} genes")
    names = datasets.frame.strings("dataset_id")
    out.frame("obs", _obs(cells))
    out.frame("var", _var(genes.frame.take(chosen)))
    write_measured(out, Measured(mask[chosen], names, rows, "dataset_id"))
    whole = True
    with out.matrix("X", len(chosen), np.float32) as append, bar("reading", len(key)) as advance:
        for block in store.blocks(cells.ids, genes.ids[chosen], _cuts(cells.frame, memory)):
            whole = whole and bool((block.data == np.rint(block.data)).all())
            append(block)
            advance(block.shape[0])
    if whole:
        out.uns("scgx/units/X/rna", "counts")
    if "citation" not in datasets.frame:
        return []
    return sorted({word for word in datasets.frame.strings("citation") if word})


def _datasets(store: Store, key: Array) -> tuple[Table, Array]:
    """The datasets of some cells, and of which of them each cell is."""
    known = store.datasets()
    names = known.frame.strings("dataset_id")
    here = np.flatnonzero(np.isin(names.astype(str), key.astype(str)))
    place = {name: i for i, name in enumerate(names[here].tolist())}
    if missing := set(key.tolist()) - set(place):
        raise DataError(f"the Census does not list dataset {sorted(map(str, missing))[0]}")
    table = Table(known.ids[here], known.frame.take(here))
    return table, np.array([place[name] for name in key.tolist()], dtype=np.int64)


def _obs(cells: Table) -> Frame:
    frame = cells.frame.without(["soma_joinid"])
    for name in frame.columns:
        values = frame[name]
        if isinstance(values, np.ndarray) and values.dtype == object:
            frame = frame.with_column(name, categorical(frame.strings(name)))
    return Frame(cells.ids.astype(str).astype(object), frame.columns)


def _var(genes: Frame) -> Frame:
    """Indexed by Ensembl id; the symbol is `gene_name`, the biotype `gene_type`."""
    renamed = {"feature_name": "gene_name", "feature_type": "gene_type"}
    gone = ("soma_joinid", "feature_id")
    columns = {renamed.get(k, k): v for k, v in genes.columns.items() if k not in gone}
    frame = Frame(genes.strings("feature_id"), columns)
    return frame.with_column("feature_types", categorical([WORDS["rna"]] * len(genes)))


def _cuts(obs: Frame, memory: int) -> list[tuple[int, int]]:
    """Rows start..stop of every read: by how many counts the Census says that a cell has."""
    n = len(obs)
    each = obs.numbers("nnz") if "nnz" in obs else np.full(n, 5000.0)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(each, 1).astype(np.int64))])
    ranges = cut(offsets, max(1, min(memory, 1 << 30) // 200))
    return [
        (at, min(at + _MOST_ROWS, stop))
        for start, stop in ranges
        for at in range(start, stop, _MOST_ROWS)
    ]


def choose_genes(var: Frame, measured: Array, words: str | None) -> Array:
    """Rows of var, ascending: of all genes that one of the datasets measured, those that are asked for.

    `words` are joined by commas: `measured:N` (the N that were seen in most cells, among those looked
    for nearly everywhere), `type:protein_coding`, ids, symbols, or a file with one of these per line.
    """
    keep = measured.copy()
    most, named = None, []
    for word in _words(words):
        kind, _, value = word.partition(":")
        if kind == "measured":
            if not value.isdigit() or not int(value):
                raise UsageError(f"--genes {word} names no number", fix="measured:2000")
            most = int(value)
        elif kind == "type" and value:
            types = var.strings("feature_type") if "feature_type" in var else np.array([])
            if value not in types:
                known = ", ".join(sorted(set(map(str, types)))[:5]) or "none"
                raise DataError(f"no gene is of type {value!r}", fix=f"there is {known}")
            keep &= types == value
        else:
            named.append(word)
    if named:
        keep &= _named(var, named)
    rows = np.flatnonzero(keep)
    if not len(rows):
        raise DataError("none of these genes was measured in these cells")
    return rows if most is None else rows[_most_measured(var.take(rows), most)]


def _most_measured(var: Frame, n: int) -> Array:
    """The rows of the n genes seen in most cells; those looked for in few cells come last."""
    seen, looked = var.numbers("nnz"), var.numbers("n_measured_obs")
    widely = looked >= _WIDELY * looked.max(initial=0)
    order = np.lexsort((var.strings("feature_id").astype(str), -seen, ~widely))
    if widely.sum() < n:
        say(f"only {int(widely.sum()):,} genes were measured in {_WIDELY:.0%} of cells or more")
    return np.sort(order[:n])


def _words(text: str | None) -> list[str]:
    found: list[str] = []
    for word in (text or "").split(","):
        if word.strip() and ("/" in word or Path(word).is_file()):
            path = Path(word.strip())
            if not path.is_file():
                raise UsageError(f"--genes {word}: no such file")
            found += [line.split("\t")[0] for line in path.read_text().splitlines() if line]
        elif word.strip():
            found.append(word.strip())
    return found


def _named(var: Frame, names: list[str]) -> Array:
    """A mask of the genes of these ids (versions aside) or symbols; unknown ones are said."""
    ids, symbols = var.strings("feature_id"), var.strings("feature_name")
    wanted = {name.partition(".")[0] if name.startswith("ENS") else name for name in names}
    mask = np.isin(ids.astype(str), list(wanted)) | np.isin(symbols.astype(str), list(wanted))
    unknown = wanted - set(ids[mask].tolist()) - set(symbols[mask].tolist())
    if unknown:
        say(f"{len(unknown):,} genes are not in the Census: {', '.join(sorted(unknown)[:3])}")
    return mask


def soma_filter(wish: asked.Wish, columns: dict[str, str], *, is_not: bool = False) -> str:
    """A condition as a SOMA value filter, which knows no `not`: it is carried down to the columns.

    DataError for a column that obs has not.
    """
    if isinstance(wish, asked.Negation):
        return soma_filter(wish.part, columns, is_not=not is_not)
    if isinstance(wish, asked.Junction):
        word = wish.word if not is_not else {"and": "or", "or": "and"}[wish.word]
        return (
            "("
            + f" {word} ".join(soma_filter(part, columns, is_not=is_not) for part in wish.parts)
            + ")"
        )
    kind = columns.get(wish.column)
    if kind is None:
        raise DataError(
            f"the Census has no column {wish.column!r}", fix=suggest(wish.column, list(columns))
        )
    opposite = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
    sign = opposite[wish.sign] if is_not else wish.sign
    if sign not in ("=", "!="):
        if kind != "number":
            raise DataError(f"{wish.column} holds {kind}s and is not compared by size")
        return f"{wish.column} {sign} {_number(wish.value)}"
    values = wish.values if wish.options is not None else dict.fromkeys([*wish.values, wish.value])
    literals = sorted({_literal(value, kind, wish.column) for value in values} - {""})
    if not literals:
        raise DataError(f"{wish.column} holds {kind}s, and {wish.value!r} is none")
    if len(literals) == 1:
        return f"{wish.column} {'==' if sign == '=' else '!='} {literals[0]}"
    return f"{wish.column} {'in' if sign == '=' else 'not in'} [{', '.join(literals)}]"


def _literal(value: str, kind: str, column: str) -> str:
    """A value as SOMA spells it, empty for what the column cannot hold (a list taken for a word)."""
    if kind == "word":
        return repr(value)
    if kind == "truth":
        return {"true": "True", "false": "False"}.get(value.lower(), "")
    return _number(value)


def _number(word: str) -> str:
    try:
        number = float(word)
    except ValueError:
        return ""
    return repr(int(number) if number.is_integer() else number)
