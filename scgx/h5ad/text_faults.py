"""What is wrong with a text matrix, in words: the line, the column by name, and what mends it."""

import numpy as np

from scgx.errors import InputError
from scgx.h5ad import text_kernels as kernels
from scgx.h5ad.text_header import Layout


def explain(tally: np.ndarray, block: bytes, line: int, layout: Layout, name: str) -> None:
    """Raise InputError (3) if the tally of a block names a fault; `line` is that of its first row."""
    fault = int(tally[kernels.FAULT])
    line += int(tally[kernels.LINE])
    column = int(tally[kernels.COLUMN])
    if fault == kernels.QUOTE:
        raise InputError(f"line {line:,}: a quote is not closed", file=name)
    if fault == kernels.EMPTY:
        raise InputError(f"line {line:,} is empty", fix="remove it", file=name)
    if fault == kernels.RAGGED:
        what = f"line {line:,} has {column:,} fields where others have {layout.width + 1:,}"
        raise InputError(what, fix="is the file cut, or edited?", file=name)
    where = f"line {line:,}, column {_name(layout, column)}"
    if fault == kernels.FOREIGN:
        fix = "keep the separator of the input"
        raise InputError(f"{where}: the new separator stands in a value", fix=fix, file=name)
    if fault == kernels.NO_NUMBER:
        word = block[int(tally[kernels.START]) : int(tally[kernels.STOP])].strip(b"\r ")
        raise InputError(f"{where}: {_shown(word)} is no number", fix=_mend(word), file=name)


def missing(tally: np.ndarray, line: int, layout: Layout, name: str) -> InputError:
    """The error for a missing value, where those are errors."""
    line += int(tally[kernels.MISSING_LINE])
    column = _name(layout, int(tally[kernels.MISSING_COLUMN]))
    fix = "--na zero reads missing values as 0"
    return InputError(f"line {line:,}, column {column}: a missing value", fix=fix, file=name)


def _mend(word: bytes) -> str | None:
    plain = word.strip(b'"')
    if b"," in plain and plain.replace(b",", b"").replace(b".", b"").isdigit():
        return "write decimal points, and no commas in numbers"
    if plain.lower().lstrip(b"+-") in (b"inf", b"infinity"):
        return "values have to be finite"
    return "is it a matrix of genes x cells, with names in the first column alone?"


def _name(layout: Layout, column: int) -> str:
    return _shown(layout.columns[column]) if column < layout.width else f"{column + 1:,}"


def _shown(word: bytes) -> str:
    text = word.strip(b'"').decode("utf-8", "replace")
    return repr(text if len(text) <= 40 else text[:37] + "...")
