"""Gene coordinates out of an annotation of GENCODE's size, beside zcat of the same file.

    python benchmarks/annotation.py [--genes 62000] [--repeats 3]

Makes a GTF of about 3.3 million lines (1 GB, gzip), then times in turns: `zcat FILE > /dev/null`, the
reader of `scgx annotate-coords` in a fresh process, and the reader on the plain file. The goal: from
gzip within 2.5 x of zcat.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from isal import igzip

READ = "import sys; from scgx.genome.annotation import read; print(len(read(sys.argv[1])))"


def lines(genes: int, rng: random.Random) -> Iterator[str]:
    """Genes with transcripts, exons and CDS, worded as GENCODE words them."""
    yield "##description: synthetic annotation of the human genome (GRCh38)\n"
    for number in range(genes):
        chrom = f"chr{1 + number * 22 // genes}"
        start = 10_000 + (number * 22 % genes) * 2500
        gene = f'gene_id "ENSG{number:011d}.{rng.randint(1, 20)}"; '
        name = f'gene_type "protein_coding"; gene_name "GENE{number}"; '
        place = f"{chrom}\tHAVANA\t{{}}\t{start + 1}\t{start + 20_000}\t.\t+\t.\t"
        yield place.format("gene") + gene + name + f'level 2; hgnc_id "HGNC:{number}"; tag "x";\n'
        for copy in range(4):
            transcript = f'transcript_id "ENST{number * 4 + copy:011d}.{rng.randint(1, 9)}"; '
            tail = 'transcript_type "protein_coding"; transcript_name "GENE-201"; '
            tags = 'level 2; protein_id "ENSP00000000000.1"; transcript_support_level "1"; '
            tags += 'tag "basic"; tag "Ensembl_canonical"; havana_gene "OTTHUMG00000000000.2";\n'
            yield place.format("transcript") + gene + transcript + name + tail + tags
            for exon in range(1, 7):
                at = start + exon * 2500 + rng.randint(0, 999)
                for kind in ("exon", "CDS"):
                    yield (
                        f"{chrom}\tHAVANA\t{kind}\t{at}\t{at + 150}\t.\t+\t.\t"
                        f"{gene}{transcript}{name}{tail}"
                        f'exon_number {exon}; exon_id "ENSE{rng.randint(0, 10**9):011d}.1"; {tags}'
                    )


def make(folder: Path, genes: int) -> tuple[Path, Path, int]:
    """The same annotation packed and plain, and its number of lines."""
    packed, plain, count = folder / "genes.gtf.gz", folder / "genes.gtf", 0
    with igzip.open(packed, "wb", compresslevel=3) as small, open(plain, "wb") as large:
        for line in lines(genes, random.Random(1)):
            small.write(line.encode())
            large.write(line.encode())
            count += 1
    return packed, plain, count


def seconds(command: list[str]) -> float:
    """Wall time of a process that has to succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=62_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed, plain, count = make(Path(folder), options.genes)
        print(f"{count:,} lines, {plain.stat().st_size / 1e9:.2f} GB, {options.genes:,} genes")
        commands = {
            "zcat": ["zcat", str(packed)],
            "scgx, gzip": [sys.executable, "-c", READ, str(packed)],
            "scgx, plain": [sys.executable, "-c", READ, str(plain)],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                found[name].append(seconds(command))
    base = statistics.median(found["zcat"])
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"{name:12} {middle:6.2f} s   {middle / base:5.2f} x zcat")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of a reader {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
