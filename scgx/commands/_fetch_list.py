"""What `scgx fetch --list` and `--info` print."""

from __future__ import annotations

import dataclasses
import json as encoder
import sys
from typing import TYPE_CHECKING

from scgx import progress

if TYPE_CHECKING:
    from scgx.datasets._dataset import Dataset, File


def show(names: list[str], *, json: bool, whole: bool) -> None:
    """The list, or all about some datasets."""
    from scgx.datasets import _catalog

    found = [_catalog.load(name) for name in names]
    if json:
        facts = [{**d.as_dict(), "ready": d.ready} for d in found]
        sys.stdout.write(encoder.dumps(facts[0] if whole else facts, indent=1) + "\n")
    elif whole:
        for dataset in found:
            _show_one(dataset)
    else:
        rows = [
            (d.name, d.kind, d.genome or "", _size(d.size), _state(d), d.content[:60])
            for d in found
        ]
        progress.table("", ("name", "kind", "genome", "MB", "", "content"), rows)


def _show_one(dataset: Dataset) -> None:
    """Every field that is filled, one a line, the files below."""
    rows = [
        (name, str(value))
        for name, value in dataset.as_dict().items()
        if name not in ("files", "recipe") and value
    ]
    rows.append(("state", _state(dataset) or "ready"))
    for file in dataset.files:
        rows += [(f"{file.part} {name}".strip(), value) for name, value in _facts(file)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def _facts(file: File) -> list[tuple[str, str]]:
    facts = [(f.name, getattr(file, f.name)) for f in dataclasses.fields(file) if f.name != "part"]
    return [(name, " ".join(v) if isinstance(v, tuple) else str(v)) for name, v in facts if v]


def _size(size: int | None) -> str:
    return f"{size / 1e6:,.1f}" if size else ""


def _state(dataset: Dataset) -> str:
    from scgx.datasets._cache import existing_cache

    if not dataset.ready:
        return "not yet"
    cache = existing_cache() if dataset.files else None
    held = cache is not None and all(cache.holds(f.sha256, f.urls) for f in dataset.files)
    return "cached" if held else ""
