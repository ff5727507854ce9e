"""Places that features get from an annotation."""

from dataclasses import replace

import numpy as np
import pytest

from scgx.cells.annotate import annotate
from scgx.cells.coordinates import from_table
from scgx.errors import DataError
from scgx.genome.annotation import Genes
from scgx.h5ad.frame import Frame, categorical

N = 40


def words(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def genes() -> Genes:
    return Genes(
        gene_id=words(*(f"ENSG{i:011d}.3" for i in range(N))),
        gene_name=words(*(f"Gene{i}" for i in range(N))),
        chrom=words(*(["chr1"] * N)),
        start=np.arange(N) * 100_000,
        end=np.arange(N) * 100_000 + 500,
        strand=words(*(["-"] * N)),
        genome="GRCh38",
        source="genes.gtf",
    )


def frame(names: list[str], **columns: object) -> Frame:
    return Frame(words(*names), columns)  # type: ignore[arg-type]


def test_ids_match_without_version_and_symbols_after_them() -> None:
    names = [f"ENSG{i:011d}.9" for i in range(5)] + ["Gene7", "nothing"]
    var = frame(names)
    places, report = annotate(var, from_table(var), genes())
    assert places.start.tolist() == [0, 100_000, 200_000, 300_000, 400_000, 700_000, -1]
    assert places.chrom[-1] is None
    assert (report.by_id, report.by_symbol, report.unmatched) == (5, 1, ["nothing"])
    assert report.how.tolist() == ["id"] * 5 + ["symbol", "unmatched"]


def test_what_the_file_says_stays_and_disagreement_is_counted() -> None:
    names = [f"Gene{i}" for i in range(5)]
    var = frame(
        names,
        chrom=categorical(["1", "1", None, "2", "1"]),
        start=np.array([0, 7, -1, 5, -1]),
        end=np.array([500, 9, -1, 9, -1]),
    )
    places, report = annotate(var, from_table(var), genes())
    assert places.chrom.tolist() == ["chr1", "chr1", "chr1", "chr2", "chr1"]
    assert places.start.tolist() == [0, 7, 200_000, 5, 400_000]
    assert places.strand[0] == "-"
    assert report.disagree == ["Gene1", "Gene3"]
    over, _ = annotate(var, from_table(var), genes(), overwrite=True)
    assert over.start.tolist() == [0, 100_000, 200_000, 300_000, 400_000]


def test_an_annotation_of_another_assembly_is_refused() -> None:
    var = frame(
        [f"Gene{i}" for i in range(30)],
        chrom=categorical(["chr1"] * 30),
        start=np.arange(30) * 100_000 + 50_000,
        end=np.arange(30) * 100_000 + 50_500,
    )
    with pytest.raises(DataError, match="30 of 30 genes lie elsewhere"):
        annotate(var, from_table(var), genes())
    moved, _ = annotate(var, from_table(var), genes(), overwrite=True)
    assert moved.start[1] == 100_000


def test_an_annotation_that_knows_too_few_genes_is_refused() -> None:
    var = frame([f"ENSMUSG{i:011d}" for i in range(50)])
    with pytest.raises(DataError, match="knows 0.0% of 50 genes.*ENSMUSG.*ENSG"):
        annotate(var, from_table(var), genes())


def test_case_alone_needs_to_be_asked_for() -> None:
    var = frame([f"GENE{i}" for i in range(20)])
    with pytest.raises(DataError, match="--ignore-case"):
        annotate(var, from_table(var), genes())
    places, report = annotate(var, from_table(var), genes(), ignore_case=True)
    assert report.by_case == 20
    assert places.placed.all()


def test_an_ambiguous_symbol_has_no_place_and_is_reported() -> None:
    table = genes()
    table.gene_name[1] = "Gene0"
    table = replace(table, chrom=np.where(np.arange(N) == 1, "chr5", table.chrom).astype(object))
    var = frame(["Gene0", "Gene2", "Gene3"])
    places, report = annotate(var, from_table(var), table)
    assert report.ambiguous == ["Gene0"]
    assert (places.chrom[0], places.start[0]) == (None, -1)


def test_peaks_and_antibodies_are_not_looked_up() -> None:
    var = frame(
        ["Gene0", "chr9:1-2", "Gene1_TotalA"],
        feature_types=words("Gene Expression", "Peaks", "Antibody Capture"),
    )
    places, report = annotate(var, from_table(var), genes())
    assert report.genes == 1
    assert places.chrom.tolist() == ["chr1", "chr9", None]
