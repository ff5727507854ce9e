"""All datasets by name: one file each for the special ones, one line of `catalog.tsv` for the rest.

`SCGX_CATALOG` names a further table of the same columns (only `name` is needed), whose lines win over
those that ship: for data of one's own, or a private copy.

Columns of the table that are empty are unknown. Lines that repeat a name are further files of the
same dataset; what is said about the dataset stands in its first line. An empty `recipe` means that
the converter comes later: such a dataset is listed, and fetching it says so.
"""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scgx import registry
from scgx.datasets import _cellbrowser
from scgx.datasets._dataset import Dataset, File
from scgx.errors import InputError, UsageError

if TYPE_CHECKING:
    from scgx.datasets._cache import Cache
    from scgx.datasets._download import Wish

_TABLE = Path(__file__).with_name("catalog.tsv")


def names() -> list[str]:
    """Every name that `scgx fetch` knows: `demo` and other files first, then the table's order."""
    return list(dict.fromkeys([*registry.names("datasets"), *_table()]))


def load(name: str) -> Dataset:
    """The dataset of that name; an unknown one is a `UsageError` that suggests the nearest."""
    if name in _table():
        return _table()[name]
    if name.startswith(_cellbrowser.PREFIX):
        return _cellbrowser.dataset(name)
    if name not in registry.names("datasets"):
        raise UsageError(f"no dataset named {name!r}", fix=_suggest(name))
    found = registry.load("datasets", name).DATASET
    assert isinstance(found, Dataset)
    return found


def _suggest(name: str) -> str:
    fix = registry.suggest(name, names())
    return fix if fix.startswith("did you mean") else "see scgx fetch --list"


def _table() -> dict[str, Dataset]:
    own = os.environ.get("SCGX_CATALOG")
    return {**_read(_TABLE), **(_read(Path(own)) if own else {})}


@cache
def _read(path: Path) -> dict[str, Dataset]:
    try:
        with open(path, encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))
        grouped: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            grouped.setdefault(row["name"], []).append(row)
        return {name: _dataset(name, group) for name, group in grouped.items()}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"no table of datasets: {error}", file=str(path)) from None


def _dataset(name: str, rows: list[dict[str, str]]) -> Dataset:
    first = rows[0]
    return Dataset(
        name=name,
        kind=first.get("kind", ""),
        content=first.get("content", ""),
        files=tuple(_file(row) for row in rows if row.get("urls", "")),
        recipe=first.get("recipe", ""),
        genome=first.get("genome", "") or None,
        units=first.get("units", "") or None,
        annotation=first.get("annotation", "") or None,
        licence=first.get("licence", ""),
        citation=first.get("citation", ""),
        traps=first.get("traps", ""),
        page=first.get("page", ""),
    )


def _file(row: dict[str, str]) -> File:
    return File(
        format=row.get("format", ""),
        urls=tuple(row.get("urls", "").split()),
        part=row.get("part", ""),
        bytes=_number(row.get("bytes", "")),
        md5=row.get("md5", "") or None,
        sha256=row.get("sha256", "") or None,
        member=row.get("member", "") or None,
        member_bytes=_number(row.get("member_bytes", "")),
        member_sha256=row.get("member_sha256", "") or None,
    )


def _number(text: str) -> int | None:
    return int(text) if text else None


def resolve(name: str, cache: Cache, wish: Wish) -> tuple[File, ...]:
    """The files of a dataset whose addresses have to be asked for (its module has `resolve`)."""
    found = registry.load("datasets", name).resolve(cache, wish)
    assert isinstance(found, tuple)
    return found


def parts(name: str) -> tuple[File, ...]:
    """The files that such a dataset has, without addresses: what `--from-file` is checked against."""
    return tuple(File(format="h5ad", part=part) for part in registry.load("datasets", name).PARTS)
