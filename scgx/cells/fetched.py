"""Downloaded files as one h5ad: what `fetch` writes, with what is known about it written in.

Everything a source file holds is kept as it is. Added: units (where the registry's statement and the
values agree), the genome, where the bytes came from. Two modalities are paired by barcode; genes get
their coordinates from the dataset's annotation.
"""

import contextlib
import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx import progress
from scgx.cells import annotate, coordinates, gene_tables, paired
from scgx.cells.fetched_parts import Got, of_mtx, of_text
from scgx.datasets import _cache, _content, _unpack
from scgx.datasets._cache import Entry
from scgx.datasets._dataset import Dataset
from scgx.errors import DataError, InputError
from scgx.h5ad import history, stack, streams, units
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities, parse_modality, present
from scgx.h5ad.frame import Frame
from scgx.h5ad.reader import open_cells
from scgx.h5ad.select import select_columns
from scgx.h5ad.writer import Writer, create


@dataclass(frozen=True)
class How:
    """How the output is wanted. `memory` in bytes."""

    memory: int
    modality: str | None = None
    keep_history: bool = True
    genome_10x: str | None = None
    piped: bool = False


def write_raw(got: Got, dataset: Dataset, to: Path, *, unpacked: bool) -> None:
    """The file as it came, or what its gzip holds."""
    if unpacked:
        _unpack.gunzip(got.entry.path, to, label=dataset.name)
    else:
        shutil.copyfile(got.entry.path, to)


def write_cells(got: Sequence[Got], dataset: Dataset, to: Path, how: How) -> None:
    """Cells of one modality, or of several in one file, from all that the recipe says they lie in."""
    with _gathered(got, dataset, how) as cells:
        with create(to, like=None if how.piped else cells) as out:
            columns = _chosen(cells.var, how.modality, dataset.name)
            if columns is None:
                out.copy_rest(cells)
            else:
                select_columns(cells, out, columns)
                out.copy_rest(cells, skip=("var", "varm", "varp", "raw"))
            _describe(out, dataset, got)
            kinds = [how.modality] if how.modality else present(cells.var)
            stated = {kind: _unit(cells, dataset, kind) for kind in kinds}
            _sign(out, [cells], {kind: unit for kind, unit in stated.items() if unit}, how)
        progress.say(f"{cells.n_obs:,} cells x {_width(columns, cells):,} features")


def write_pair(
    got: Sequence[Got], dataset: Dataset, to: Path, how: How, *, genes: Entry | None
) -> None:
    """Several modalities of the same cells, paired by barcode, as one file.

    `genes` is the dataset's annotation (a GTF); with it the features get their coordinates.
    """
    with contextlib.ExitStack() as open_files:
        cells = [open_files.enter_context(_opened(one, dataset.name, how)) for one in got]
        kinds = [_kinds(one, c) for one, c in zip(got, cells, strict=True)]
        if len({str(kind[0]) for kind in kinds if len(kind)}) < len(kinds):
            raise DataError("two files hold the same modality", file=dataset.name)
        parts, _ = paired.pair_all(cells, kinds, by_position=False)
        parts = paired.name_features(parts, unique=True)
        layers = stack.layers_of(parts)
        with create(to, like=None if how.piped else cells[0]) as out:
            merged = paired.obs_of(parts, None)
            out.frame("obs", merged.frame)
            out.frame("var", _placed(paired.var_of(parts), genes, dataset))
            stack.write_matrices(out, parts, layers, how.memory)
            stack.write_obsm(out, parts)
            stack.write_uns(out, parts, [f"{one.file.part}_" for one in got])
            _describe(out, dataset, got)
            stated = stack.units_of_layers(parts, layers)
            for kind, unit in stated.get("X", {}).items():
                _agree(dataset, kind, unit)
            history.sign(out, cells, units=stated, keep=how.keep_history)
        dropped = [c.n_obs - len(p.rows) for c, p in zip(cells, parts, strict=True)]
        progress.say(
            f"{len(parts[0].rows):,} cells in all files, dropped: "
            + ", ".join(f"{n:,} of {g.file.part}" for n, g in zip(dropped, got, strict=True))
        )


@contextlib.contextmanager
def _gathered(got: Sequence[Got], dataset: Dataset, how: How) -> Iterator[Cells]:
    """The cells of a dataset by its recipe: one file, a text matrix or a Matrix Market folder."""
    if dataset.recipe not in ("text", "mtx"):
        with _opened(got[0], dataset.name, how) as cells:
            yield cells
        return
    with streams.temporary(streams.tmpdir()) as made:
        convert = of_text if dataset.recipe == "text" else of_mtx
        convert(got, made, dataset.name, how.memory)
        with open_cells(made, name=dataset.name, memory=how.memory) as cells:
            yield cells


@contextlib.contextmanager
def _opened(got: Got, name: str, how: How) -> Iterator[Cells]:
    """Open a file of the cache, a zip member unpacked beside the other spools."""
    with contextlib.ExitStack() as open_files:
        path = got.entry.path
        if got.file.format == "zip":
            path = open_files.enter_context(streams.temporary(streams.tmpdir()))
            _unpack.member(got.entry.path, got.file, path, label=name)
        yield open_files.enter_context(
            open_cells(path, name=name, memory=how.memory, genome_10x=how.genome_10x)
        )


def _kinds(got: Got, cells: Cells) -> np.ndarray:
    """The modality of every feature: what the file says, else what it was fetched as."""
    if "feature_types" in cells.var:
        return modalities(cells.var)
    return np.full(cells.n_var, got.file.part, dtype=object)


def _chosen(var: Frame, modality: str | None, name: str) -> np.ndarray | None:
    """Columns of the modality asked for; None for all of them."""
    if modality is None:
        return None
    wanted = parse_modality(modality)
    columns = np.flatnonzero(modalities(var) == wanted)
    if not len(columns):
        raise DataError(f"has no {wanted}", fix=f"it has {', '.join(present(var))}", file=name)
    return None if len(columns) == len(var) else columns


def _placed(var: Frame, genes: Entry | None, dataset: Dataset) -> Frame:
    """var with coordinates from the annotation."""
    if genes is None:
        return var
    table = gene_tables.read(genes.path, name=str(dataset.annotation))
    places, report = annotate.annotate(var, coordinates.from_table(var), table)
    known = report.by_id + report.by_symbol
    progress.say(f"coordinates of {known:,} of {report.genes:,} genes from {dataset.annotation}")
    return coordinates.with_columns(var, places, modalities(var))


def _unit(cells: Cells, dataset: Dataset, kind: str) -> str | None:
    """The unit to record: what the registry states, unless the values say otherwise."""
    if not cells.has("X") or dataset.units is None or units.declared(cells, "X", kind):
        return None
    found = units.units_of(cells, "X", kind if len(present(cells.var)) > 1 else None)
    return found if _agree(dataset, kind, found) else None


def _agree(dataset: Dataset, kind: str, found: str) -> bool:
    """Whether what was found is what the registry states; says so where it is not."""
    alike = dataset.units in (None, found) or (dataset.units == "counts" and found == "binary")
    if not alike:
        progress.warn(f"{kind} should be {dataset.units} but looks like {found}")
    return alike


def _describe(out: Writer, dataset: Dataset, got: Sequence[Got]) -> None:
    """Genome and provenance: no clock but the day of the download, no secrets."""
    if dataset.genome:
        out.uns("scgx/genome", dataset.genome)
    out.uns("scgx/source/name", dataset.name)
    out.uns("scgx/source/licence", dataset.licence)
    if dataset.citation:
        out.uns("scgx/source/citation", dataset.citation)
    for one in got:
        facts = {"version": one.file.version, **_cache.provenance(one.entry)}
        for name, value in facts.items():
            if value:
                out.uns(f"scgx/source/{one.file.part or 'file'}/{name}", value)


def _sign(out: Writer, cells: list[Cells], stated: dict[str, str], how: How) -> None:
    history.sign(out, cells, units={"X": stated} if stated else None, keep=how.keep_history)


def _width(columns: np.ndarray | None, cells: Cells) -> int:
    return cells.n_var if columns is None else len(columns)


def sniffed(entry: Entry) -> str:
    """How an address of unknown content is to be treated: `cells`, or `raw` for text, say a GTF."""
    with open(entry.path, "rb") as file:
        head = file.read(_content.HEAD)
    if head.startswith(_content.GZIP):
        try:
            with gzip.open(entry.path, "rb") as packed:
                head = packed.read(_content.HEAD)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"its gzip is damaged: {error}", file=entry.url) from None
    found = _content.describe(head)
    if found in ("HDF5", "a zip archive"):
        return "cells"
    if found == "text":
        return "raw"
    raise InputError(
        f"is {found}, of which no cells can be made", file=entry.url or entry.path.name
    )


def drop_other(path: Path, to: Path, dataset: Dataset, how: How) -> None:
    """Only one modality of a file that was made here (the demo)."""
    with open_cells(path, name=dataset.name, memory=how.memory) as cells:
        columns = _chosen(cells.var, how.modality, dataset.name)
        with create(to) as out:
            every = np.arange(cells.n_var) if columns is None else columns
            select_columns(cells, out, every)
            out.copy_rest(cells, skip=("var",))
