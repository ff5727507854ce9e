"""MuData (.h5mu) as one table: the modalities under /mod, paired by barcode, side by side.

Format: https://mudata.readthedocs.io, an AnnData per modality plus obs and var of the whole.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.encoding import read_frame
from scgx.h5ad.features import WORDS, looks_like_peaks, modalities
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.matrix import Matrix
from scgx.h5ad.names import make_unique
from scgx.h5ad.tenx import intervals
from scgx.h5ad.writer import Writer, create
from scgx.progress import say

_MOD_WORDS = {
    "rna": "rna",
    "gex": "rna",
    "atac": "atac",
    "peaks": "atac",
    "prot": "adt",
    "adt": "adt",
}


def write_h5mu(file: h5py.File, name: str, memory: int, made: Path) -> None:
    """MuData: one AnnData per modality under /mod, paired by barcode into one table."""
    mods = {key: Cells(file["mod"][key], f"{name}:{key}", memory) for key in _order(file["mod"])}
    if not mods:
        raise DataError("holds no modality", file=name)
    first = next(iter(mods.values()))
    names = first.obs_names
    for cells in mods.values():
        cells.require_unique("obs")
        names = names[np.isin(names.astype(str), cells.obs_names.astype(str))]
    if not len(names):
        raise DataError("its modalities share no cell", file=name)
    dropped = max(cells.n_obs for cells in mods.values()) - len(names)
    if dropped:
        say(f"{name}: {dropped:,} cells are not in every modality and are left out")
    with create(made) as out:
        obs = read_frame(file["obs"]) if "obs" in file else first.obs
        out.frame("obs", _obs(obs, mods, names))
        out.frame("var", _var(mods))
        _stack(out, mods, names)
        if "uns" in file:
            file.copy(file["uns"], out.h5, name="uns")


def _order(group: h5py.Group) -> list[str]:
    """The modalities in the order that their writer gave, else by name."""
    given = [
        word if isinstance(word, str) else word.decode()
        for word in group.attrs.get("mod-order", [])
    ]
    return given if sorted(given) == sorted(group) else list(group)


def _obs(obs: Frame, mods: dict[str, Cells], names: np.ndarray) -> Frame:
    """Columns of the modalities, each once where they agree; the whole's own columns first."""
    merged = Frame(names)
    for prefix, frame in {"": obs, **{key: cells.obs for key, cells in mods.items()}}.items():
        place = {name: i for i, name in enumerate(frame.index)}
        if any(name not in place for name in names):
            continue
        rows = np.array([place[name] for name in names], dtype=np.int64)
        taken = frame.take(rows)
        for column in taken.columns:
            same = column in merged and list(merged.strings(column)) == list(taken.strings(column))
            if not same:
                label = column if column not in merged else f"{prefix}:{column}"
                merged = merged.with_column(label, taken[column])
    return merged


def _var(mods: dict[str, Cells]) -> Frame:
    """Features of all modalities; columns that any of them has, missing elsewhere."""
    names = np.concatenate([cells.var_names for cells in mods.values()])
    types: list[str] = []
    for key, cells in mods.items():
        own = modalities(cells.var) if "feature_types" in cells.var else None
        guess = "atac" if looks_like_peaks(cells.var_names) else _MOD_WORDS.get(key.lower(), "rna")
        types += [WORDS.get(w, w) for w in own] if own is not None else [WORDS[guess]] * cells.n_var
    frame = Frame(make_unique(names)).with_column("feature_types", categorical(types))
    columns = dict.fromkeys(c for cells in mods.values() for c in cells.var.columns)
    for column in columns:
        if column != "feature_types":
            parts = [
                cells.var.strings(column) if column in cells.var else np.full(cells.n_var, None)
                for cells in mods.values()
            ]
            frame = frame.with_column(column, categorical(np.concatenate(parts)))
    if "interval" in frame and "chrom" not in frame:
        words = [w or "" for w in frame.strings("interval")]
        peaks = [n if t == WORDS["atac"] else "" for n, t in zip(frame.index, types)]
        chrom, start, end = intervals(np.array([w or p for w, p in zip(words, peaks)], object))
        frame = frame.with_column("chrom", categorical(chrom))
        frame = frame.with_column("start", start).with_column("end", end)
    for column in ("start", "end", "tss"):
        if column in frame:
            values = frame.numbers(column)
            whole = np.where(np.isnan(values), -1, values).astype(np.int64)
            frame = frame.with_column(column, whole)
    return frame


def _stack(out: Writer, mods: dict[str, Cells], names: np.ndarray) -> None:
    """X, and the layers that all have, side by side, a thousand cells at a time."""
    rows = []
    for cells in mods.values():
        place = {name: i for i, name in enumerate(cells.obs_names)}
        rows.append(np.array([place[name] for name in names], dtype=np.int64))
    keys = [f"layers/{key}" for key in next(iter(mods.values())).keys("layers")]
    shared = [key for key in keys if all(cells.has(key) for cells in mods.values())]
    for key in ("X", *shared):
        matrices: list[Matrix] = [cells.matrix(key) for cells in mods.values()]
        dtype = np.result_type(*(matrix.dtype for matrix in matrices))
        width = sum(matrix.shape[1] for matrix in matrices)
        with out.matrix(key, width, dtype) as append:
            for start in range(0, len(names), 1000):
                taken = [m.take(r[start : start + 1000]) for m, r in zip(matrices, rows)]
                append(sparse.csr_array(sparse.hstack([sparse.csr_array(p) for p in taken])))
