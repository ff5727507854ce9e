"""Genes out of BED files and tables (CSV, TSV), with or without a header.

BED counts starts from 0, biomaRt's tables from 1; a table that does not say is taken to count from
0 and the command says so. Thousands separators ("5,840,637") are numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scgx.errors import InputError
from scgx.genome.identity import ensembl_id
from scgx.genome.lines import Annotated, numbered

_ALIASES = {
    "chrom": "chrom chr chromosome chromosome_name seqname seqnames seqid contig",
    "start": "start start_position chromstart txstart gene_start begin",
    "end": "end end_position chromend txend gene_end stop",
    "gene_id": "gene_id geneid ensembl_id ensembl_gene_id gene_stable_id ensembl id",
    "gene_name": "gene_name genename name symbol gene_symbol external_gene_name hgnc_symbol gene",
    "strand": "strand",
}
_NUMBER = re.compile(r"\d+(?:\.0+)?|\d{1,3}(?:,\d{3})+")
_STRANDS = {"+": "+", "-": "-", "1": "+", "-1": "-", "+1": "+"}


class Layout(NamedTuple):
    """Which column is what; -1 where there is none."""

    chrom: int
    start: int
    end: int
    gene_id: int
    gene_name: int
    strand: int
    base: int  # what starts count from


def read_table(
    path: str | Path, name: str, *, separator: str, start_base: int | None = None
) -> Annotated:
    """Genes of a BED or table, 0-based half-open.

    Raises `InputError` with the line number for a row that lacks columns, a chromosome, coordinates
    or a name, or whose start lies behind its end.
    """
    found = Annotated()
    layout: Layout | None = None
    for number, row in _rows(path, name, separator):
        if layout is None:
            layout = header_layout(row)
            if layout is None:
                layout = _bed_layout(row, number, name)
            if start_base is not None:
                layout = layout._replace(base=start_base)
            found.one_based = layout.base == 1
            if header_layout(row) is not None:
                continue
        _add(found, row, layout, f"line {number}: ", name)
    return found


def _rows(path: str | Path, name: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers; comments are left out unless they are the header."""
    at = {"line": 0}

    def lines() -> Iterator[str]:
        headed = False
        for number, line in numbered(path, name):
            at["line"] = number
            if line.startswith("#") and not headed:
                headed = header_layout(line[1:].split(separator)) is not None
                if headed:
                    yield line[1:]
            elif line.strip() and not line.startswith(("#", "track ", "browser ")):
                headed = True
                yield line

    for row in csv.reader(lines(), delimiter=separator):
        yield at["line"], row


def header_layout(row: Sequence[str]) -> Layout | None:
    """The layout that the names in a header give, or None where it is no header."""
    names = [cell.strip().lower().replace(" ", "_").replace(".", "_") for cell in row]

    def position(field: str) -> int:
        return next((names.index(alias) for alias in _ALIASES[field].split() if alias in names), -1)

    chrom, start, end = position("chrom"), position("start"), position("end")
    if min(chrom, start, end) < 0:
        return None
    base = 1 if names[start] == "start_position" else 0
    return Layout(
        chrom, start, end, position("gene_id"), position("gene_name"), position("strand"), base
    )


def _bed_layout(row: Sequence[str], number: int, name: str) -> Layout:
    """The layout of a BED line: chrom, start, end, name, score, strand, then anything."""
    if len(row) < 3 or not (
        _NUMBER.fullmatch(row[1].strip()) and _NUMBER.fullmatch(row[2].strip())
    ):
        raise InputError(
            f"line {number}: neither a header nor a BED line",
            fix="name the columns chrom, start, end, gene_id, gene_name, strand",
            file=name,
        )
    if len(row) < 4:
        raise InputError(f"line {number}: no gene name in column 4", fix="give a BED4", file=name)
    ids = [i for i in range(3, len(row)) if ensembl_id(row[i])]
    strand = next((i for i in (5, 4) if i < len(row) and row[i].strip() in ("+", "-", ".")), -1)
    return Layout(0, 1, 2, ids[0] if ids else -1, -1 if ids and ids[0] == 3 else 3, strand, 0)


def _add(found: Annotated, row: Sequence[str], layout: Layout, where: str, name: str) -> None:
    def cell(column: int) -> str:
        return row[column].strip() if 0 <= column < len(row) else ""

    gene_id, gene_name = cell(layout.gene_id), cell(layout.gene_name)
    if max(layout.chrom, layout.start, layout.end) >= len(row):
        raise InputError(f"{where}{len(row)} columns; is the file cut short?", file=name)
    if not cell(layout.chrom) or not (gene_id or gene_name):
        lacking = "chromosome" if not cell(layout.chrom) else "gene id or name"
        raise InputError(f"{where}no {lacking}", file=name)
    start, end = _number(cell(layout.start), where, name), _number(cell(layout.end), where, name)
    start -= layout.base
    if start < 0:
        raise InputError(f"{where}start is 0 where coordinates count from 1", file=name)
    if start >= end:
        raise InputError(f"{where}start {start + layout.base} lies behind end {end}", file=name)
    found.gene_id.append(gene_id or ensembl_id(gene_name) or gene_name)
    found.gene_name.append(gene_name or gene_id)
    found.chrom.append(cell(layout.chrom))
    found.start.append(start)
    found.end.append(end)
    found.strand.append(_STRANDS.get(cell(layout.strand), ""))


def _number(text: str, where: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InputError(
            f"{where}{text!r} is no position", fix="positions are whole numbers", file=name
        )
    return int(text.replace(",", "").split(".")[0])
