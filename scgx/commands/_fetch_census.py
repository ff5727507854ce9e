"""What `scgx fetch` does for a slice of the CELLxGENE Census."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scgx.errors import DataError, MachineError, NetworkError, UsageError

if TYPE_CHECKING:
    from scgx.cells import where
    from scgx.cells.fetched import How
    from scgx.datasets._dataset import Dataset


class Asked(NamedTuple):
    """The options about a slice, as they were given; `store` is a copy of a Census on disk."""

    where: str | None
    genes: str | None
    organism: str | None
    store: str | None


class Checked(NamedTuple):
    """The same, looked through before anything is opened."""

    wish: where.Wish | None
    words: str
    genes: str | None
    organism: str
    address: str


def check(dataset: Dataset, asked: Asked) -> Checked:
    """Refuse what cannot be meant. A UsageError, before anything heavy is imported."""
    from scgx import registry
    from scgx.cells.where import parse
    from scgx.datasets import _census

    own = registry.load("datasets", dataset.name)
    if asked.where and own.WHERE:
        raise UsageError(f"{dataset.name} is what it is", fix="scgx fetch census --where EXPR")
    words = asked.where or own.WHERE
    if not words:
        raise UsageError(
            "the Census is tens of millions of cells", fix="say which: --where cell_type=..."
        )
    organism = _census.ORGANISMS.get(asked.organism or "human")
    if organism is None:
        raise UsageError(f"--organism {asked.organism!r} is unknown", fix="human or mouse")
    address = asked.store or _census.address(_census.RELEASE)
    return Checked(parse(words), words, asked.genes or own.GENES, organism, address)


def write(dataset: Dataset, checked: Checked, to: Path, how: How, *, offline: bool) -> None:
    """The slice as h5ad."""
    import numpy as np

    from scgx.cells import census
    from scgx.datasets import _census
    from scgx.h5ad import history
    from scgx.h5ad.features import parse_modality
    from scgx.h5ad.writer import create

    if how.modality and parse_modality(how.modality) != "rna":
        raise DataError("the Census is RNA", file=dataset.name)
    remote = checked.address.startswith("s3://")
    if remote and offline:
        raise NetworkError("is read from the Census itself, and --offline", file=dataset.name)
    try:
        from scgx.cells.census_store import open_store
    except ImportError:
        fix = "pip install 'scgx[census]'"
        raise MachineError("the Census needs a package that is not here", fix=fix) from None
    with open_store(checked.address, checked.organism, memory=how.memory) as store:
        with create(to) as out:
            wanted = census.Slice(checked.wish, checked.genes)
            citations = census.write(store, wanted, out, memory=how.memory)
            facts = {
                "name": dataset.name,
                "licence": dataset.licence,
                "citation": dataset.citation,
                "release": _census.RELEASE if remote else "a copy",
                "where": checked.words,
                "genes": checked.genes or "all that were measured",
            }
            for name, value in facts.items():
                out.uns(f"scgx/source/{name}", value)
            if citations:
                out.uns("scgx/source/datasets", np.array(citations, dtype=object))
            if checked.organism == "homo_sapiens":
                out.uns("scgx/genome", "GRCh38")
            history.sign(out, [], keep=how.keep_history)
