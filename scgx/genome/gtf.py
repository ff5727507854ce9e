"""Genes out of GTF, GFF3 and GFF2 files, in their dialects.

A GENCODE file has 3.3 million lines of which 2 % are genes, so lines are chosen by a search for
`gene<TAB>` before any is taken apart. Files without gene lines (old Ensembl, UCSC, RefSeq extracts)
are read once more, and genes are put together from their parts: first start, last end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from scgx.errors import InputError
from scgx.genome.lines import Annotated, Place, blocks, decode

_PARTS = {"exon", "cds", "transcript", "mrna", "coding_exon", "start_codon", "stop_codon", "utr"}
_PARTS |= {"5utr", "3utr", "five_prime_utr", "three_prime_utr", "protein_coding_primary_transcript"}
_GENE_ID = re.compile(rb'(?:^|[; \t])gene_id[ =]"?([^";\n]*)')
_GENE_NAME = re.compile(rb'(?:^|[; \t])gene_name[ =]"?([^";\n]*)')
_ENSEMBL = re.compile(rb"Ensembl:(ENS[A-Z]*G\d{11}(?:\.\d+)?)")
_PAIR = re.compile(r'\s*([^\s=;]+)(?:\s*=\s*|\s+)("[^"]*"|[^;]*)')
_ID_KEYS = ("gene_id", "geneID", "Gene", "ID", "gene", "locus_tag", "Name", "name")
_PART_KEYS = ("gene_id", "geneID", "Gene", "gene", "locus_tag", "name", "CDS")
_NAME_KEYS = ("gene_name", "gene_symbol", "geneSymbol", "gene", "Name", "symbol", "name", "Locus")


def read_gtf(path: str | Path, name: str) -> Annotated:
    """Genes of a GTF or GFF, 1-based in the file and 0-based half-open here.

    Raises `InputError` with the line number for a gene line that lacks columns, coordinates or an
    id.
    """
    found = Annotated(one_based=True)
    for place, line, at in _gene_lines(path, name):
        columns = _columns(line, place, at)
        gene_id, gene_name = _identity(columns[8])
        if not gene_id:
            place.refuse("a gene without gene_id", at=at, fix="add the attribute")
        start, end = _positions(columns, place, at)
        _add(found, columns, gene_id, gene_name, start, end)
    return found if found.gene_id else _from_parts(path, name)


def _gene_lines(path: str | Path, name: str) -> Iterator[tuple[Place, bytes, int]]:
    """Lines whose third column is a kind of gene, with their place."""
    last = b""
    for place, block in blocks(path, name):
        found = block.find(b"gene\t")
        while found >= 0:
            begin = block.rfind(b"\n", 0, found) + 1
            end = block.find(b"\n", found)
            line = block[begin:end].removesuffix(b"\r")
            if not line.startswith(b"#") and _is_gene(line):
                yield place, line, begin
            found = block.find(b"gene\t", end)
        last = block[block.rfind(b"\n", 0, -1) + 1 : -1]
        at = len(block) - len(last) - 1
    tabs = last.count(b"\t")
    if 0 < tabs < 7 and not last.startswith((b"#", b">")):
        place.refuse(f"{tabs + 1} of 9 columns; the file is cut short", at=at)


def _is_gene(line: bytes) -> bool:
    kind = line.split(b"\t", 3)[2:3]
    return bool(kind) and (kind[0] in (b"gene", b"pseudogene") or kind[0].endswith(b"_gene"))


def _columns(line: bytes, place: Place, at: int) -> list[bytes]:
    columns = line.split(b"\t")
    if len(columns) < 9:
        place.refuse(f"{len(columns)} of 9 columns", at=at, fix="is the file cut short?")
    return columns


def _positions(columns: list[bytes], place: Place, at: int) -> tuple[int, int]:
    """0-based half-open start and end of a line."""
    first, last = columns[3].replace(b",", b""), columns[4].replace(b",", b"")
    if not (first.isdigit() and last.isdigit()):
        place.refuse(
            f"start {decode(columns[3])!r}, end {decode(columns[4])!r} are no numbers", at=at
        )
    start, end = int(first) - 1, int(last)
    if start < 0:
        place.refuse("start is 0 where coordinates count from 1", at=at)
    if start >= end:
        place.refuse(f"start {start + 1} lies behind end {end}", at=at)
    return start, end


def _add(
    found: Annotated, columns: list[bytes], gene_id: str, gene_name: str, start: int, end: int
) -> None:
    found.gene_id.append(gene_id)
    found.gene_name.append(gene_name or gene_id)
    found.chrom.append(decode(columns[0]))
    found.start.append(start)
    found.end.append(end)
    found.strand.append(decode(columns[6]) if columns[6] in (b"+", b"-") else "")


def _identity(text: bytes) -> tuple[str, str]:
    """(id, symbol) of a gene line; "" where there is none."""
    quick, symbol = _GENE_ID.search(text), _GENE_NAME.search(text)
    if quick and symbol and b"%" not in text:
        return decode(quick[1]).strip(), decode(symbol[1]).strip()
    pairs = attributes(decode(text))
    cross = _ENSEMBL.search(text)
    gene_id = _bare(_first(pairs, _ID_KEYS))
    if cross and not gene_id.startswith("ENS"):
        gene_id = decode(cross[1])
    return gene_id, _first(pairs, _NAME_KEYS)


def attributes(text: str) -> dict[str, str]:
    """The ninth column in any dialect: `key "value";`, `key=value`, bare and repeated keys.

    The first of repeated keys counts; a word without a value is left out; `%20` is decoded.
    """
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match and match[2].strip():
            value = match[2].strip().strip('"')
            pairs.setdefault(match[1], unquote(value) if "%" in value else value)
        at = (match.end() if match else at) + 1
        if at < len(text) and text[at - 1] != ";":
            at = (text.find(";", at) + 1) or len(text)
    return pairs


def _first(pairs: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((pairs[key] for key in keys if pairs.get(key)), "")


def _bare(gene_id: str) -> str:
    """`gene:ENSG...` (Ensembl), `gene-BRCA2` (NCBI), `Gene:WBGene...` (WormBase) without the
    prefix.
    """
    return re.sub(r"^gene[:-]", "", gene_id, flags=re.IGNORECASE)


def _from_parts(path: str | Path, name: str) -> Annotated:
    """Genes put together from exons and transcripts that name their gene, per chromosome."""
    row: dict[tuple[str, bytes], int] = {}
    found = Annotated(one_based=True)
    kinds: dict[str, int] = {}
    for place, line, at in _feature_lines(path, name):
        columns = _columns(line, place, at)
        kind = decode(columns[2])
        kinds[kind] = kinds.get(kind, 0) + 1
        pairs = attributes(decode(columns[8])) if kind.lower() in _PARTS else {}
        gene_id = _bare(_first(pairs, _PART_KEYS))
        if not gene_id:
            continue
        start, end = _positions(columns, place, at)
        seen = row.setdefault((gene_id, columns[0]), len(found.gene_id))
        if seen == len(found.gene_id):
            _add(found, columns, gene_id, _first(pairs, _NAME_KEYS), start, end)
        found.start[seen] = min(found.start[seen], start)
        found.end[seen] = max(found.end[seen], end)
    if not found.gene_id:
        most = ", ".join(sorted(kinds, key=lambda kind: -kinds[kind])[:3]) or "none"
        raise InputError(
            f"no genes in it (features: {most})", fix="give a gene annotation", file=name
        )
    return found


def _feature_lines(path: str | Path, name: str) -> Iterator[tuple[Place, bytes, int]]:
    """Every line that is neither blank nor a comment, up to a FASTA section."""
    for place, block in blocks(path, name):
        at = 0
        for line in block.split(b"\n")[:-1]:
            if line.startswith((b">", b"##FASTA")):
                return
            if line.strip() and not line.startswith((b"#", b"track", b"browser")):
                yield place, line.removesuffix(b"\r"), at
            at += len(line) + 1
