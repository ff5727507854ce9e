"""Cell Ranger's matrices as h5ad: a 10x matrix is features x cells in CSC, which is cells x features
in CSR by another name, so nothing is decoded. Features are indexed by id; the symbol is `gene_name`.
Format: 10x Genomics, "Feature-Barcode Matrices (HDF5)", versions 2 and 3.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from scgx.errors import DataError, InputError
from scgx.h5ad import streams
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import read_column
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Categorical, Frame, categorical
from scgx.h5ad.names import make_unique
from scgx.h5ad.select import select_columns
from scgx.h5ad.writer import create
from scgx.progress import warn


def write_ten_x(file: h5py.File, name: str, memory: int, made: Path, genome: str | None) -> None:
    """Cell Ranger's filtered matrices, version 3 (`matrix/features`) and 2 (a group per genome)."""
    if "matrix" in file:
        group = file["matrix"]
        var = _features_v3(group["features"], name)
        if genome is not None:
            keep = var.strings("genome") == genome if "genome" in var else np.zeros(len(var), bool)
            if not keep.any():
                raise DataError(f"has no features of genome {genome!r}", file=name)
    else:
        group, var, keep = _features_v2(file, genome, name)
    barcodes = _words(group["barcodes"])
    shape = tuple(int(v) for v in group["shape"][()])
    if shape != (len(var), len(barcodes)):
        raise InputError(f"shape {shape} is not features x barcodes", file=name)
    if len(np.unique(var.index.astype(str))) < len(var):
        warn("feature ids repeat; they got -1, -2 ...")
        var = Frame(make_unique(var.index), var.columns)
    with create(made) as out:
        out.frame("obs", Frame(barcodes))
        out.frame("var", var)
        item = out.h5.create_group("X")
        for part in ("data", "indices", "indptr"):
            file.copy(group[part], item, name=part)
        item.attrs["encoding-type"], item.attrs["encoding-version"] = "csr_matrix", "0.1.0"
        item.attrs["shape"] = np.array([len(barcodes), len(var)], dtype=np.int64)
    if "matrix" in file and genome is not None:
        _keep_columns(made, name, memory, np.flatnonzero(keep))


def _features_v3(group: h5py.Group, name: str) -> Frame:
    ids = _words(group["id"])
    columns: dict[str, object] = {"gene_name": _words(group["name"])}
    columns["feature_types"] = categorical(_words(group["feature_type"]))
    if "genome" in group:
        columns["genome"] = categorical(_words(group["genome"]))
    frame = Frame(ids, columns)  # type: ignore[arg-type]
    if "interval" in group:
        chrom, start, end = intervals(_words(group["interval"]))
        frame = frame.with_column("chrom", categorical(chrom))
        frame = frame.with_column("start", start).with_column("end", end)
    return frame


def _features_v2(
    file: h5py.File, genome: str | None, name: str
) -> tuple[h5py.Group, Frame, np.ndarray]:
    genomes = [key for key in file if isinstance(file[key], h5py.Group) and "genes" in file[key]]
    if genome is None and len(genomes) > 1:
        raise DataError(
            f"holds several genomes: {', '.join(genomes)}",
            fix=f"choose one with --10x-genome {genomes[0]}",
            file=name,
        )
    chosen = genome or genomes[0]
    if chosen not in genomes:
        raise DataError(f"has no genome {chosen!r}", fix=f"it has {', '.join(genomes)}", file=name)
    group = file[chosen]
    words = WORDS["rna"]
    ids = _words(group["genes"])
    columns = {"gene_name": _words(group["gene_names"])}
    frame = Frame(ids, columns).with_column("feature_types", categorical([words] * len(ids)))
    frame = frame.with_column("genome", categorical([chosen] * len(ids)))
    return group, frame, np.ones(len(ids), bool)


def _words(item: h5py.Dataset) -> np.ndarray:
    column = read_column(item)
    if isinstance(column, Categorical):
        raise InputError(f"{item.name} is no list of names")
    return np.array([str(v) for v in np.asarray(column).tolist()], dtype=object)


def intervals(words: np.ndarray) -> tuple[list[str | None], np.ndarray, np.ndarray]:
    """`chr1:100-200` as chrom, start and end as written; None and -1 where it is none."""
    found = [re.fullmatch(r"(.+):(\d+)-(\d+)", word) for word in words]
    start = np.array([int(m[2]) if m else -1 for m in found], dtype=np.int64)
    end = np.array([int(m[3]) if m else -1 for m in found], dtype=np.int64)
    return [m[1] if m else None for m in found], start, end


def _keep_columns(path: Path, name: str, memory: int, columns: np.ndarray) -> None:
    with streams.temporary(path.parent) as other:
        with h5py.File(path, "r") as file, create(other) as out:
            cells = Cells(file, name, memory)
            select_columns(cells, out, columns)
            out.copy_rest(cells, skip=("var",))
        other.replace(path)
        other.touch()
