"""Where genes are, read from any file that says so: GTF, GFF, BED, CSV, TSV; plain or gzip.

What the file is, is seen in its content, not in its suffix. Coordinates come out 0-based half-open
whatever went in. A line that cannot be understood is an error with its number, never a NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scgx.errors import InputError
from scgx.genome import builds, chroms, identity
from scgx.genome.bed import read_table
from scgx.genome.gtf import read_gtf
from scgx.genome.lines import Annotated, head
from scgx.genome.starts import tss


@dataclass(frozen=True)
class Genes:
    """A table of genes: n rows, coordinates 0-based half-open, chromosomes as `chrX`.

    `gene_id` as in the file, with its version; `key` without. `strand` is "+", "-" or "".
    """

    gene_id: np.ndarray
    gene_name: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray
    genome: str = ""
    source: str = ""
    one_based: bool = False  # what the file's own starts were
    unknown_chroms: int = 0

    def __len__(self) -> int:
        return len(self.gene_id)

    @property
    def key(self) -> np.ndarray:
        """Ids without version: what genes are matched by."""
        return np.array([identity.without_version(i) for i in self.gene_id], dtype=object)

    @property
    def tss(self) -> np.ndarray:
        """The first transcribed base, 0-based: `start`, or `end - 1` on the minus strand."""
        return tss(self.start, self.end, self.strand)


def read(path: str | Path, *, name: str | None = None, start_base: int | None = None) -> Genes:
    """Read a gene annotation.

    `start_base` says whether the starts of a table count from 0 (BED) or from 1; a GTF always
    counts from 1. Left out, a table counts from 1 where its columns are biomaRt's, else from 0. The
    assembly is taken from the header lines, the accessions or the landmark genes.

    Raises `InputError` with the line number where the file is no annotation or is damaged.
    """
    name = name or str(path)
    first = head(path, name)
    kind, separator = _kind(first, name)
    if kind == "gtf":
        found = read_gtf(path, name)
    else:
        found = read_table(path, name, separator=separator, start_base=start_base)
    return _genes(found, first, name)


def _genes(found: Annotated, first: list[str], name: str) -> Genes:
    if not found.gene_id:
        raise InputError("no genes in it", fix="give a GTF, GFF3, BED or table of genes", file=name)
    spelled = chroms.normalise(found.chrom)
    genes = Genes(
        gene_id=np.array(found.gene_id, dtype=object),
        gene_name=np.array(found.gene_name, dtype=object),
        chrom=spelled.names,
        start=np.array(found.start, dtype=np.int64),
        end=np.array(found.end, dtype=np.int64),
        strand=np.array(found.strand, dtype=object),
        source=name,
        one_based=found.one_based,
        unknown_chroms=sum(spelled.unknown.values()),
    )
    return replace(genes, genome=_genome(genes, first, found.chrom))


def _genome(genes: Genes, first: list[str], raw_chroms: list[str]) -> str:
    """The assembly: from landmark genes, else from comments, else from the accessions."""
    seen = builds.detect(genes.key, genes.chrom, genes.start)
    seen = seen or builds.detect(genes.gene_name, genes.chrom, genes.start)
    comments = " ".join(line for line in first if line.startswith("#"))
    return seen or builds.assembly(comments) or builds.by_accession(set(raw_chroms))


def _kind(first: list[str], name: str) -> tuple[str, str]:
    """("gtf" or "table", separator), from the first lines."""
    body = [
        line for line in first if line.strip() and not line.startswith(("#", "track", "browser"))
    ]
    if not body:
        header = [line for line in first if line.startswith("#")]
        if any("gff-version" in line or "gtf" in line for line in header) or not header:
            raise InputError(
                "no features in it", fix="give a GTF, BED or table of genes", file=name
            )
        return "table", "\t"
    columns = body[0].split("\t")
    if (
        len(columns) >= 8
        and _position(columns[3])
        and _position(columns[4])
        and columns[6] in "+-.?"
    ):
        return "gtf", "\t"
    if len(columns) >= 3:
        return "table", "\t"
    words = body[0].split()
    if len(words) >= 8 and _position(words[3]) and _position(words[4]):
        raise InputError(
            "line 1 has blanks where a GTF has tabs", fix="separate the columns by tabs", file=name
        )
    for separator in (",", ";"):
        if body[0].count(separator) >= 2 and "\t" not in body[0]:
            return "table", separator
    raise InputError("neither GTF nor BED nor a table of genes", file=name)


def _position(text: str) -> bool:
    return text == "." or text.replace(",", "").isdigit()
