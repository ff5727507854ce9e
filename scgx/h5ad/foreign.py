"""Cells in the files of others, made into a temporary h5ad: 10x, MTX, h5mu, gzip, zarr, loom.

So every command takes every kind and knows one. 10x and h5mu are HDF5 and are moved without decoding
(a 10x matrix is genes x cells in CSC, which is cells x genes in CSR by another name); loom and MTX
stream. zarr goes through anndata, in memory, after an estimate; it is imported for zarr alone.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from isal import igzip
from isal.igzip_lib import IsalError

from scgx.errors import InputError, MachineError, UnsafeError
from scgx.h5ad import mtx_names, sniff, streams
from scgx.h5ad.cells import open_hdf5
from scgx.h5ad.h5mu import write_h5mu
from scgx.h5ad.loom import write_loom
from scgx.h5ad.mtx import write_mtx
from scgx.h5ad.tenx import write_ten_x
from scgx.progress import warn


@contextlib.contextmanager
def as_h5ad(
    path: Path, kind: str, name: str, memory: int, genome_10x: str | None
) -> Iterator[tuple[Path, str]]:
    """A temporary h5ad with the same cells, gone when the block ends, and what they were read from."""
    with streams.temporary(streams.tmpdir()) as made:
        if kind == "mtx" or (kind == "gzip" and mtx_names.is_matrix(path, name)):
            write_mtx(mtx_names.find(path, name, genome_10x), name, memory, made)
            kind = "mtx"
        elif kind == "gzip":
            with _gunzipped(path, name, memory) as plain:
                if sniff.kind(plain, f"{name} (gzip)") != "hdf5":
                    raise InputError("is gzip-compressed, and what is inside is no h5ad", file=name)
                with open_hdf5(plain, memory, name) as file:
                    inner = sniff.hdf5_kind(file)
                if inner == "h5ad":
                    yield plain, inner
                    return
                with as_h5ad(plain, inner, name, memory, genome_10x) as again:
                    yield again
            return
        elif kind in ("zarr", "zarr.zip"):
            _through_anndata(path, kind, name, memory, made)
        else:
            with open_hdf5(path, memory, name) as file:
                if kind == "10x":
                    write_ten_x(file, name, memory, made, genome_10x)
                elif kind == "loom":
                    write_loom(file, name, memory, made)
                else:
                    write_h5mu(file, name, memory, made)
        yield made, kind


@contextlib.contextmanager
def _gunzipped(path: Path, name: str, memory: int) -> Iterator[Path]:
    """Unpack to disk, within the free space; a bomb runs into that and not into memory."""
    with streams.temporary(streams.tmpdir()) as plain:
        budget = shutil.disk_usage(plain.parent).free * 9 // 10
        try:
            with igzip.open(path, "rb") as packed, open(plain, "wb") as out:
                while data := packed.read(streams.CHUNK):
                    budget -= len(data)
                    if budget < 0:
                        raise MachineError("does not fit on the disk unpacked", file=name)
                    out.write(data)
        except EOFError:
            raise InputError("truncated: its gzip stream has no end", file=name) from None
        except (zlib.error, gzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]
            raise InputError(f"its gzip stream is damaged: {error}", file=name) from None
        yield plain


def _through_anndata(path: Path, kind: str, name: str, memory: int, made: Path) -> None:
    """zarr stores, read whole by anndata and written as h5ad."""
    size = sum(f.stat().st_size for f in path.rglob("*")) if path.is_dir() else path.stat().st_size
    if 4 * size > memory:
        raise MachineError(
            f"is {size:,} bytes of {kind}, which is read whole",
            fix="raise --memory, or convert to h5ad",
            file=name,
        )
    root = _root_in_zip(path, name) if kind == "zarr.zip" else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import anndata

        try:
            cells = _zarr(anndata, path, kind, root)
        except ImportError as error:
            fix = "pip install 'scgx[zarr]'"
            raise MachineError(
                f"{kind} needs a package that is not here: {error}", fix=fix
            ) from None
        except (KeyError, ValueError, TypeError, OSError, AttributeError, RuntimeError) as error:
            line = (str(error).splitlines() or ["unknown reason"])[0][:100]
            raise InputError(f"anndata cannot read this {kind}: {line}", file=name) from None
        cells.strings_to_categoricals()
        cells.write_h5ad(made)


def _root_in_zip(path: Path, name: str) -> str:
    """The folder in the zip that is the store: its root, or one folder down."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.startswith("__MACOSX")]
    except zipfile.BadZipFile:
        raise InputError("is a damaged zip", file=name) from None
    if any(n.endswith((".pkl", "data.pkl")) for n in names):
        raise UnsafeError("is a zip with a pickle in it, which could run code", file=name)
    if "scgx.json" in names:
        raise InputError("is a model and no cells", fix="give the cells here", file=name)
    marks = [n for n in names if n.rsplit("/", 1)[-1] in (".zgroup", "zarr.json")]
    if not marks:
        raise InputError("is a zip and no zarr store", file=name)
    return min((n.rpartition("/")[0] for n in marks), key=len)


def _zarr(anndata: ModuleType, path: Path, kind: str, root: str) -> Any:
    """A store in a folder, or in a zip below `root`."""
    import zarr

    if kind == "zarr":
        return _elements(anndata, zarr.open_group(path, mode="r", use_consolidated=False))
    store = zarr.storage.ZipStore(path, mode="r")
    return _elements(anndata, zarr.open_group(store, path=root, mode="r", use_consolidated=False))


def _elements(anndata: ModuleType, group: Any) -> Any:
    """The parts of a store one by one, so that one strange entry of uns does not cost the rest."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # zarr retries in tasks that complain
    read = anndata.io.read_elem
    parts = {}
    for name in ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp"):
        if name in group:
            parts[name] = read(group[name])
    try:
        parts["uns"] = read(group["uns"]) if "uns" in group else {}
    except (ValueError, KeyError, TypeError):
        warn("uns of this store cannot be read and is left out")
    if "raw" in group:
        parts["raw"] = {k: read(group["raw"][k]) for k in ("X", "var") if k in group["raw"]}
    return anndata.AnnData(**parts)
