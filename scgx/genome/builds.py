"""Which assembly coordinates belong to: names of assemblies, landmark genes, pseudoautosomal
regions.

hg19 and hg38 share names and most of their look; a few genes even sit at the same place in both.
What tells them apart are genes that moved, of which `landmarks.tsv` keeps four per chromosome.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from scgx.genome.tables import rows

_UCSC = {"hg19": "GRCh37", "hg38": "GRCh38", "mm10": "GRCm38", "mm39": "GRCm39", "b37": "GRCh37"}
_UCSC |= {"hg18": "NCBI36", "mm9": "NCBIM37", "hs1": "T2T-CHM13v2.0", "hs37d5": "GRCh37"}
_NAME = re.compile(
    r"(?<![a-z0-9])(grc[a-z]\d+|hg\d\d|mm\d{1,2}|b37|hs1|hs37d5|t2t-chm13v\d\.\d)", re.IGNORECASE
)
NEAR = 20_000  # bases by which annotations of one assembly may disagree on the start of a gene


def assembly(text: str) -> str:
    """The assembly that a text names, as the GRC calls it (`hg38`, `GRCh38.p13` -> `GRCh38`).

    "" where none is recognised.
    """
    match = _NAME.search(text)
    if not match:
        return ""
    word = match[1].lower()
    if word.startswith("grc"):
        return "GRC" + word[3:]
    return _UCSC.get(word, word)


def common_name(genome: str) -> str:
    """`GRCh38 (hg38)`: both names of an assembly, for messages."""
    short = next((ucsc for ucsc, grc in _UCSC.items() if grc == genome), "")
    return f"{genome} ({short})" if short else genome


@cache
def _landmarks() -> dict[str, dict[str, tuple[str, int]]]:
    """For each landmark gene, by id and by symbol: assembly -> (chromosome, start)."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for row in rows("landmarks.tsv"):
        builds = ("GRCh37", "GRCh38", "GRCm38", "GRCm39")
        places = {build: (row["chrom"], int(row[build])) for build in builds if row[build]}
        found[row["gene_id"]] = found[row["gene_name"]] = places
    return found


def votes(names: np.ndarray, chrom: np.ndarray, start: np.ndarray) -> dict[str, int]:
    """How many landmark genes (ids without version, or symbols) lie where each build has them."""
    landmarks = _landmarks()
    count: dict[str, int] = {}
    for i, name in enumerate(names):
        for build, place in landmarks.get(name, {}).items():
            near = chrom[i] == place[0] and abs(int(start[i]) - place[1]) <= NEAR
            count[build] = count.get(build, 0) + near
    return count


def detect(names: np.ndarray, chrom: np.ndarray, start: np.ndarray) -> str:
    """The assembly that places belong to, or "" where too few landmark genes say so.

    It takes three landmarks in their places, and four times as many as for any other assembly.
    """
    count = sorted(votes(names, chrom, start).items(), key=lambda item: -item[1])
    best = count[0] if count else ("", 0)
    second = count[1][1] if len(count) > 1 else 0
    return best[0] if best[1] >= 3 and best[1] >= 4 * second else ""


def pseudoautosomal(genome: str, name: str = "PAR") -> list[tuple[str, int, int]]:
    """Regions shared by X and Y, 0-based half-open: `PAR` all, `PAR1` or `PAR2` one of them."""
    wanted = assembly(genome) or genome
    return [
        (row["chrom"], int(row["start"]), int(row["end"]))
        for row in rows("par.tsv")
        if row["genome"] == wanted and row["name"].startswith(name)
    ]


def by_accession(names: set[str]) -> str:
    """The assembly whose RefSeq or GenBank versions occur among chromosome names, or ""."""
    count: dict[str, int] = {}
    for row in rows("refseq.tsv"):
        for build in ("GRCh37", "GRCh38", "GRCm38", "GRCm39"):
            if (
                row["chrom"] != "chrM"
                and row[build]
                and f"{row['accession']}.{row[build]}" in names
            ):
                count[build] = count.get(build, 0) + 1
    return max(count, key=lambda build: count[build]) if count else ""
