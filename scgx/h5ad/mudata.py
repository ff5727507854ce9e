"""Joined modalities as MuData (.h5mu): an AnnData for each under /mod, what they share at the root.

Format: https://mudata.readthedocs.io/stable/io/spec.html (0.1.0). All modalities have the same cells
in the same order. `obsmap` and `varmap` say, counted from one, where a cell or feature of the whole
is in a modality; zero is nowhere.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from scgx import __version__
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.stack import Layers, Part, write_matrices, write_obsm
from scgx.h5ad.writer import Writer

VERSION = "0.1.0"
PREAMBLE = f"MuData (format-version={VERSION};creator=scgx;creator-version={__version__})".encode()


def is_mudata(path: str, format: str | None) -> bool:
    """Is MuData asked for, by --format or by the suffix?"""
    return format == "h5mu" or (format is None and Path(path).suffix == ".h5mu")


def write_mudata(
    out: Writer, parts: Sequence[Part], obs: Frame, var: Frame, memory: int
) -> list[str]:
    """Write the modalities and the whole, all but uns; returns what was left out."""
    root = out.h5
    root.attrs["encoding-type"] = "MuData"
    root.attrs["encoding-version"] = VERSION
    root.attrs["encoder"] = "scgx"
    root.attrs["encoder-version"] = __version__
    root.attrs["axis"] = 0
    out.frame("obs", obs)
    out.frame("var", var)
    mods = root.create_group("mod")
    lost: list[str] = []
    names: list[str] = []
    done = 0
    for part in parts:
        for kind in dict.fromkeys(part.kinds):
            names.append(str(kind))
            own = part.take(np.flatnonzero(part.kinds == kind))
            place = np.flatnonzero(part.kinds == kind) + done
            lost += _write_modality(out, own, str(kind), var.take(place), memory)
            _write_maps(out, str(kind), len(obs), len(var), place)
        done += len(part.columns)
    mods.attrs["mod-order"] = np.array(names, dtype=h5py.string_dtype("utf-8"))
    return list(dict.fromkeys(lost))


def _write_modality(out: Writer, part: Part, kind: str, var: Frame, memory: int) -> list[str]:
    """One AnnData: its own obs, obsm and every layer it has."""
    inner = Writer(out.h5["mod"].create_group(kind), out.compression)
    inner.frame("obs", part.cells.obs.take(part.rows))
    inner.frame("var", _own(var, kind))
    layers = {f"layers/{n}": [f"layers/{n}"] for n in part.cells.keys("layers")}
    write_matrices(inner, [part], Layers({"X": ["X"], **layers}, []), memory)
    return write_obsm(inner, [part])


def _own(var: Frame, kind: str) -> Frame:
    """The columns of var that say something of a modality."""
    empty = [n for n in var.columns if all(word is None for word in var.strings(n))]
    words = categorical([WORDS.get(kind, kind)] * len(var))
    return var.without(empty).with_column("feature_types", words)


def _write_maps(out: Writer, kind: str, n_obs: int, n_var: int, place: np.ndarray) -> None:
    """Where the cells and features of the whole are in one modality."""
    inside = np.zeros(n_var, dtype=bool)
    inside[place] = True
    number = np.zeros(n_var, dtype=np.uint32)
    number[place] = np.arange(1, len(place) + 1)
    for group, values in (
        ("obsm", np.ones(n_obs, dtype=bool)),
        ("varm", inside),
        ("obsmap", np.arange(1, n_obs + 1, dtype=np.uint32)),
        ("varmap", number),
    ):
        out.group(group)
        out.array(f"{group}/{kind}", values)
