"""What `scgx classify --composition` prints: shares of classes per sample, distances to a tissue."""

from typing import TextIO

from scgx import progress
from scgx.learn.composition import Composition


def show(found: Composition, file: TextIO) -> None:
    """Two tables on `file`; the second only with a reference."""
    headings = [found.column, "class", "cells", "share", "low", "high"]
    rows = found.rows()
    if found.reference is not None:
        headings.append("reference")
    words = [
        [sample, name, f"{n:,}", *(f"{number:.3f}" for number in numbers if number is not None)]
        for sample, name, n, *numbers in rows
    ]
    title = f"composition by {found.column}: shares of cells, 95 % Wilson intervals over cells"
    progress.table(title, headings, words, file=file)
    if found.reference is None:
        return
    file.write("\n")
    far = [
        [sample, f"{each.value:.3f}", *("-" if b is None else f"{b:.3f}" for b in each[1:])]
        for sample, each in zip(found.samples, found.distances(), strict=True)
    ]
    title = "total variation distance to the reference: 0 the same, 1 nothing in common"
    progress.table(title, [found.column, "distance", "low", "high"], far, file=file)
