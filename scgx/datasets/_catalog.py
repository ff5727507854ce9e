"""All datasets by name: one file each for the special ones, one line of `catalog.tsv` for the rest.

Columns of the table that are empty are unknown. Lines that repeat a name are further files of the
same dataset; what is said about the dataset stands in its first line. An empty `recipe` means that
the converter comes later: such a dataset is listed, and fetching it says so.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scgx import registry
from scgx.datasets._dataset import Dataset, File
from scgx.errors import UsageError

if TYPE_CHECKING:
    from scgx.datasets._cache import Cache
    from scgx.datasets._download import Wish

_TABLE = Path(__file__).with_name("catalog.tsv")


def names() -> list[str]:
    """Every name that `scgx fetch` knows: `demo` and other files first, then the table's order."""
    return [*registry.names("datasets"), *_table()]


def load(name: str) -> Dataset:
    """The dataset of that name; an unknown one is a `UsageError` that suggests the nearest."""
    if name in _table():
        return _table()[name]
    if name not in registry.names("datasets"):
        raise UsageError(f"no dataset named {name!r}", fix=_suggest(name))
    found = registry.load("datasets", name).DATASET
    assert isinstance(found, Dataset)
    return found


def _suggest(name: str) -> str:
    fix = registry.suggest(name, names())
    return fix if fix.startswith("did you mean") else "see scgx fetch --list"


@cache
def _table() -> dict[str, Dataset]:
    with open(_TABLE, encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        grouped.setdefault(row["name"], []).append(row)
    return {name: _dataset(name, group) for name, group in grouped.items()}


def _dataset(name: str, rows: list[dict[str, str]]) -> Dataset:
    first = rows[0]
    return Dataset(
        name=name,
        kind=first["kind"],
        content=first["content"],
        files=tuple(_file(row) for row in rows if row["urls"]),
        recipe=first["recipe"],
        genome=first["genome"] or None,
        units=first["units"] or None,
        annotation=first["annotation"] or None,
        licence=first["licence"],
        citation=first["citation"],
        traps=first["traps"],
        page=first["page"],
    )


def _file(row: dict[str, str]) -> File:
    return File(
        format=row["format"],
        urls=tuple(row["urls"].split()),
        part=row["part"],
        bytes=int(row["bytes"]) if row["bytes"] else None,
        md5=row["md5"] or None,
        sha256=row["sha256"] or None,
        member=row["member"] or None,
        member_bytes=int(row["member_bytes"]) if row["member_bytes"] else None,
        member_sha256=row["member_sha256"] or None,
    )


def resolve(name: str, cache: Cache, wish: Wish) -> tuple[File, ...]:
    """The files of a dataset whose addresses have to be asked for (its module has `resolve`)."""
    found = registry.load("datasets", name).resolve(cache, wish)
    assert isinstance(found, tuple)
    return found


def parts(name: str) -> tuple[File, ...]:
    """The files that such a dataset has, without addresses: what `--from-file` is checked against."""
    return tuple(File(format="h5ad", part=part) for part in registry.load("datasets", name).PARTS)
