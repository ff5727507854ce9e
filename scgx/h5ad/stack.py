"""Several files of the same cells written as one: rows in one order, features side by side.

Matrices stream in blocks of the same cells; whichever file has them in another order is read out of
order. What cannot be put side by side (graphs of cells, arrays over features) is named and left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import DataError, ScgxError
from scgx.h5ad.aligned import Array, Source, Values, together
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import read_frame, read_value
from scgx.h5ad.features import modalities
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.units import units_of
from scgx.h5ad.writer import Writer
from scgx.progress import bar


class Part(NamedTuple):
    """One file of a join: the cells and the features taken of it, in the order of the output."""

    cells: Cells
    all_kinds: Array  # modality of every feature of the file, object (n_var,)
    rows: Array  # int64 (cells of the output,)
    columns: Array  # int64, ascending
    names: Array  # the names that the columns get, object
    modality: str  # what the file as a whole is called by

    @property
    def kinds(self) -> Array:
        """The modality of each feature that is taken."""
        return self.all_kinds[self.columns]

    def take(self, columns: Array) -> "Part":
        """Only some features, ascending, as numbers among those taken so far."""
        return self._replace(columns=self.columns[columns], names=self.names[columns])

    def source(self, key: str) -> Source:
        """Its rows and columns of a matrix."""
        every = len(self.columns) == self.cells.n_var
        return Source(self.cells, key, self.rows, None if every else self.columns)

    def unit(self, key: str, modality: str) -> str:
        """The unit of a matrix; the file may know the modality by another name (--as)."""
        own = modalities(self.cells.var)[np.flatnonzero(self.all_kinds == modality)[0]]
        return units_of(self.cells, key, str(own))

    def counts(self) -> str | None:
        """Where the counts of all its modalities are, if they are anywhere."""
        for key in ("layers/counts", "X", "raw/X"):
            if not self.cells.has(key) or self.cells.matrix(key).shape != self.cells.shape:
                continue
            units = {self.unit(key, kind) for kind in dict.fromkeys(self.all_kinds)}
            if key == "layers/counts" or units <= {"counts", "binary"}:
                return key
        return None


class Layers(NamedTuple):
    """Which matrices of the parts make which of the output, and which layers were left out."""

    sources: dict[str, list[str]]  # output key -> the key in each part
    dropped: list[str]


def layers_of(parts: Sequence[Part]) -> Layers:
    """X, the layers that every part has, and the counts where every part has them somewhere."""
    for part in parts:
        if not part.cells.has("X"):
            raise DataError("has no X", fix="scgx normalize --method counts", file=part.cells.name)
    sources = {"X": ["X"] * len(parts)}
    dropped = []
    for name in dict.fromkeys(name for part in parts for name in part.cells.keys("layers")):
        keys = [f"layers/{name}" if part.cells.has(f"layers/{name}") else None for part in parts]
        if name == "counts":
            keys = [part.counts() for part in parts]
        found = [key for key in keys if key is not None]
        if len(found) == len(parts):
            sources[f"layers/{name}"] = found
        else:
            dropped.append(name)
    return Layers(sources, dropped)


def units_of_layers(parts: Sequence[Part], layers: Layers) -> dict[str, dict[str, str]]:
    """The units to record, by layer and modality."""
    units: dict[str, dict[str, str]] = {}
    for key, sources in layers.sources.items():
        words = units.setdefault(key.removeprefix("layers/"), {})
        for part, source in zip(parts, sources, strict=True):
            for kind in dict.fromkeys(part.kinds):
                words[str(kind)] = part.unit(source, str(kind))
    return units


def write_matrices(out: Writer, parts: Sequence[Part], layers: Layers, memory: int) -> None:
    """X and the layers, features side by side."""
    for key, sources in layers.sources.items():
        matrices = [p.cells.matrix(source) for p, source in zip(parts, sources, strict=True)]
        dtype = np.result_type(*(matrix.dtype for matrix in matrices))
        dense = all(matrix.kind == "dense" for matrix in matrices)
        width = sum(len(part.columns) for part in parts)
        wanted = [p.source(source) for p, source in zip(parts, sources, strict=True)]
        matrix = out.matrix(key, width, dtype, is_sparse=not dense)
        with matrix as append, bar(f"writing {key}", wanted[0].n_rows) as advance:
            for blocks in together(wanted, memory):
                append(_beside(blocks))
                advance(blocks[0].shape[0])


def row_sums(part: Part, modality: str, memory: int) -> Array | None:
    """The counts per cell over all features of a modality, float64; None without counts."""
    key = part.counts()
    if key is None:
        return None
    columns = np.flatnonzero(part.all_kinds == modality)
    sums = [
        np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        for (block,) in together([Source(part.cells, key, part.rows, columns)], memory)
    ]
    return np.concatenate(sums)


def write_obsm(out: Writer, parts: Sequence[Part]) -> list[str]:
    """Arrays over cells, renamed where two files have one of the same name; says what is left out."""
    lost = []
    for part in parts:
        for name in part.cells.keys("obsm"):
            clash = sum(name in other.cells.keys("obsm") for other in parts) > 1
            fresh = f"{name}_{part.modality}" if clash else name
            if not _write_rows(out, part, f"obsm/{name}", f"obsm/{fresh}"):
                lost.append(f"obsm/{name}")
    for part in parts:
        lost += [f"{g}/{name}" for g in ("obsp", "varm", "varp") for name in part.cells.keys(g)]
        lost += ["raw"] if "raw" in part.cells.h5 or "raw.X" in part.cells.h5 else []
    return list(dict.fromkeys(lost))


def _write_rows(out: Writer, part: Part, key: str, to: str) -> bool:
    """One array, sparse matrix or table over cells, its rows taken; False for another kind."""
    item = part.cells.h5[key]
    kind = item.attrs.get("encoding-type", "")
    out.group("obsm")
    if isinstance(item, h5py.Dataset) and item.ndim and item.dtype.kind in "iufb":
        out.array(to, item[()][part.rows])
        return True
    if kind == "dataframe":
        out.frame(to, read_frame(item).take(part.rows))
        return True
    if kind in ("csr_matrix", "csc_matrix"):
        shape = (int(item.attrs["shape"][0]), int(item.attrs["shape"][1]))
        matrix = Matrix(item, shape, key)
        with out.matrix(to, shape[1], matrix.dtype) as append:
            append(matrix.take(part.rows))
        return True
    return False


def write_uns(
    out: Writer, parts: Sequence[Part], prefixes: Sequence[str], skip: Sequence[str] = ()
) -> list[str]:
    """Everything unstructured; what differs between files gets its prefix. Returns what differed.

    `skip` names what of uns["scgx"] is not true of the output; history and units are written anew.
    """
    differ = []
    for part, prefix in zip(parts, prefixes, strict=True):
        source = part.cells.h5.get("uns")
        if not isinstance(source, h5py.Group):
            continue
        target = out.group("uns")
        for name in source:
            if name == "scgx":
                continue
            fresh = name
            if name in target:
                if _equal(source[name], target[name]):
                    continue
                differ.append(name)
                fresh = prefix + name
            if fresh not in target:
                part.cells.h5.file.copy(source[name], target, name=fresh)
    _write_scgx(out, parts, ("history", "units", *skip))
    return list(dict.fromkeys(differ))


def _write_scgx(out: Writer, parts: Sequence[Part], skip: Sequence[str]) -> None:
    """What earlier commands left; the first file that has it is believed."""
    for part in parts:
        for name, value in part.cells.scgx.items():
            if name in skip:
                continue
            known = "scgx" in out.group("uns") and name in out.h5["uns/scgx"]
            if isinstance(value, dict) or not known:
                out.uns(f"scgx/{name}", value)


def _equal(one: h5py.HLObject, other: h5py.HLObject) -> bool:
    """Do two objects hold the same names and values?"""
    if isinstance(one, h5py.Group) != isinstance(other, h5py.Group):
        return False
    if isinstance(one, h5py.Group):
        return set(one) == set(other) and all(_equal(one[name], other[name]) for name in one)
    try:
        return bool(np.array_equal(np.asarray(read_value(one)), np.asarray(read_value(other))))
    except ScgxError:
        return False


def _beside(blocks: Sequence[Values]) -> Values:
    if all(isinstance(block, np.ndarray) for block in blocks):
        return np.hstack(blocks)
    return sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")
