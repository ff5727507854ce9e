"""A table of cells as text (TSV or CSV, packed or not), its rows found for the cells of a file."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from scgx.cells import join
from scgx.cells.join import Array
from scgx.errors import DataError, InputError
from scgx.h5ad.frame import Frame


class Found(NamedTuple):
    """The table for the cells in their order, by which rule, and how many cells it lacks."""

    frame: Frame
    rule: str
    missing: int


def read(path: Path, name: str) -> Frame:
    """A text table as a Frame; its index is the column whose name says so, else the first.

    InputError for what is no table.
    """
    try:
        table = pd.read_csv(
            path, sep=_separator(path), compression=_packing(path), low_memory=False
        )
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"is no table of text: {words[:120]}", file=name) from None
    if isinstance(table.index, pd.RangeIndex):
        known = (
            "barcode",
            "barcodes",
            "cell",
            "cell_id",
            "cellid",
            "cell id",
            "index",
            "obs_names",
        )
        columns = [column for column in table.columns if str(column).lower() in known]
        table = table.set_index((columns or list(table.columns))[0])
    return Frame.from_pandas(table)


def find(cells: Array, table: Frame, name: str) -> Found:
    """The rows of a table for cells by name; DataError where it has none of them."""
    try:
        pairing = join.pair(cells, table.index)
    except DataError as error:
        error.file, error.fix = name, "the first column has to hold the names of the cells"
        raise
    rows = np.full(len(cells), -1, dtype=np.int64)
    rows[pairing.first] = pairing.second
    frame = join.align_rows(table, rows)
    return Found(Frame(cells, frame.columns), pairing.rule, int((rows < 0).sum()))


def _packing(path: Path) -> str | None:
    with open(path, "rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else None


def _separator(path: Path) -> str:
    """Tab where the first line has one, else comma, else semicolon."""
    opener = gzip.open if _packing(path) else open
    with opener(path, "rb") as file:
        line = file.readline(1 << 20)
    return next((mark for mark in "\t,;" if mark.encode() in line), "\t")
