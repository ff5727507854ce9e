"""Assemblies told apart."""

from pathlib import Path

import numpy as np
import pytest

from scgx.genome import annotation, builds


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hg38", "GRCh38"),
        ("GRCh38.p13", "GRCh38"),
        ("refdata-gex-GRCh38-2020-A", "GRCh38"),
        ("mm10", "GRCm38"),
        ("#!genome-build GRCm39", "GRCm39"),
        ("hg19", "GRCh37"),
        ("zebrafish", ""),
    ],
)
def test_an_assembly_has_one_name(text: str, name: str) -> None:
    assert builds.assembly(text) == name


@pytest.mark.parametrize(
    ("file", "genome"),
    [
        ("CollapsedGeneBounds.hg19.bed", "GRCh37"),
        ("gencode.vM25.protein_coding.genes.mm10.bed", "GRCm38"),
        ("gencode_v48_genes_only.gtf.gz", "GRCh38"),
        ("gene_coordinates_mus_musculus.csv.gz", "GRCm39"),
    ],
)
def test_landmark_genes_tell_real_annotations_apart(
    real_data: Path, file: str, genome: str
) -> None:
    genes = annotation.read(real_data / "genes-coordinates" / file)
    assert genes.genome == genome
    count = builds.votes(genes.key, genes.chrom, genes.start)
    others = [n for name, n in count.items() if name != genome]
    assert count[genome] > 80
    assert max(others) < 0.2 * count[genome]


def test_genes_of_one_place_in_both_assemblies_prove_nothing() -> None:
    names = np.array(["FAM138A", "OR4F5"], dtype=object)
    chrom = np.array(["chr1", "chr1"], dtype=object)
    assert builds.detect(names, chrom, np.array([34_610, 69_090])) == ""


def test_accessions_tell_the_assembly() -> None:
    assert builds.by_accession({"NC_000001.11", "NC_000023.11"}) == "GRCh38"
    assert builds.by_accession({"NC_000068.7"}) == "GRCm38"
    assert builds.by_accession({"chr1"}) == ""
