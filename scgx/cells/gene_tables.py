"""Gene annotations that were read before are not parsed again.

An annotation of the human genome is three million lines, of which sixty thousand are wanted. What was
wanted is kept in the cache folder, under a hash of the file's bytes, of how it was read and of the code
that read it: a file that changed, or a reader that did, is simply another one. Who cannot keep anything
parses each time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash

from scgx.datasets._cache import open_cache
from scgx.errors import ScgxError
from scgx.genome import annotation
from scgx.genome.annotation import Genes

SMALL = 4 << 20  # bytes that are parsed as fast as a table is found
KEPT = 16
_WORDS = ("gene_id", "gene_name", "chrom", "strand")
_NUMBERS = ("start", "end")
_NONE = "\0"


def read(path: Path, *, name: str, start_base: int | None = None) -> Genes:
    """What `annotation.read` says of a file, from the cache where it was asked before."""
    folder = _folder() if path.stat().st_size >= SMALL else None
    if folder is None:
        return annotation.read(path, name=name, start_base=start_base)
    place = folder / f"{_key(path, start_base)}.npz"
    known = _load(place)
    if known is None:
        known = annotation.read(path, name=name, start_base=start_base)
        with contextlib.suppress(OSError):
            _save(known, place)
    return replace(known, source=name)


def _folder() -> Path | None:
    try:
        return open_cache().folder("genes")
    except (ScgxError, OSError):
        return None


def _key(path: Path, start_base: int | None) -> str:
    digest = xxhash.xxh3_128(str(start_base).encode())
    reader = Path(annotation.__file__).parent
    for source in sorted([*reader.glob("*.py"), *reader.glob("*.tsv"), Path(__file__)]):
        digest.update(source.read_bytes())
    space = memoryview(bytearray(1 << 20))
    with open(path, "rb", buffering=0) as file:
        while got := file.readinto(space):
            digest.update(space[:got])
    return digest.hexdigest()


def _save(genes: Genes, place: Path) -> None:
    """Whole or not at all; the oldest make room."""
    texts = {
        name: "\n".join(_NONE if w is None else w for w in getattr(genes, name)) for name in _WORDS
    }
    facts = np.array([genes.one_based, genes.unknown_chroms], dtype=np.int64)
    parts = {
        **{name: _bytes(text) for name, text in texts.items()},
        **{name: getattr(genes, name) for name in _NUMBERS},
        "genome": _bytes(genes.genome),
        "facts": facts,
    }
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=place.parent)
    try:
        with open(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **parts)
        os.replace(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise
    tables = sorted(place.parent.glob("*.npz"), key=lambda table: table.stat().st_mtime)
    for old in tables[:-KEPT]:
        old.unlink(missing_ok=True)


def _load(place: Path) -> Genes | None:
    """A table that was kept; None where there is none, or where it is damaged (its zip has CRCs)."""
    try:
        with open(place, "rb") as file, np.load(file, allow_pickle=False) as parts:
            ids, names, chrom, strand = (_words(parts[name]) for name in _WORDS)
            start, end = (parts[name] for name in _NUMBERS)
            one_based, unknown = parts["facts"].tolist()
            genome = parts["genome"].tobytes().decode()
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    found = Genes(ids, names, chrom, start, end, strand, genome, "", bool(one_based), unknown)
    return (
        found if {len(c) for c in (ids, names, chrom, strand, start, end)} == {len(ids)} else None
    )


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _words(stored: np.ndarray) -> np.ndarray:
    words = np.array(stored.tobytes().decode().split("\n"), dtype=object)
    words[words == _NONE] = None
    return words
