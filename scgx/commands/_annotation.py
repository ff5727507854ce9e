"""Where a gene annotation comes from: a file that is named, or one that was fetched before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scgx.errors import DataError, UsageError
from scgx.h5ad import streams

if TYPE_CHECKING:
    from scgx.genome.annotation import Genes

BY_GENOME = {"GRCh38": "gencode-human", "GRCm39": "gencode-mouse"}
BY_PREFIX = {"ENSG": "gencode-human", "ENSMUSG": "gencode-mouse"}


@contextlib.contextmanager
def located(path: str | None, fetched: str | None) -> Iterator[streams.Source | None]:
    """The file of an annotation, before anything is read; None where none is asked for.

    A pipe is spooled, since a file without gene lines is read twice. `fetched` names an annotation
    in the cache of `scgx fetch`; a `DataError` says how to fetch one that is not there.
    """
    if path is None and fetched is None:
        yield None
    elif path is not None:
        with streams.source(path) as src:
            yield src
    else:
        found = cached(str(fetched))
        if found is None:
            raise DataError(
                f"annotation {fetched} is not in the cache", fix=f"run: scgx fetch {fetched}"
            )
        yield streams.Source(found, str(fetched))


def read(src: streams.Source, start_base: int | None = None) -> Genes:
    """The genes of a GTF, GFF, BED or table; a large one is parsed once and kept in the cache."""
    from scgx.cells import gene_tables

    return gene_tables.read(src.path, name=src.name, start_base=start_base)


def cached(name: str) -> Path | None:
    """The annotation of that name in the cache of `scgx fetch`; None where it was not fetched."""
    from scgx.datasets import _catalog
    from scgx.datasets._cache import existing_cache

    dataset = _catalog.load(name)
    if dataset.kind != "annotation":
        raise UsageError(f"{name} is no annotation", fix="there is gencode-human, gencode-mouse")
    cache = existing_cache()
    if cache is None:
        return None
    entries = (cache.find(sha256=file.sha256, urls=file.urls) for file in dataset.files)
    return next((entry.path for entry in entries if entry is not None), None)


def name_for(genome: str, prefix: str) -> str | None:
    """The annotation that fits an assembly, or, where that is unknown, the species of gene ids."""
    return BY_GENOME.get(genome) if genome else BY_PREFIX.get(prefix)
