"""The small tables beside this file: accessions, assembly landmarks, pseudoautosomal regions."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a tab-separated table with a header, by column name."""
    text = (Path(__file__).parent / name).read_text(encoding="ascii")
    header, *lines = (line.split("\t") for line in text.splitlines())
    return tuple(dict(zip(header, line, strict=True)) for line in lines)
