"""Places that a table of features has by itself."""

import numpy as np
import pytest

from scgx.cells import coordinates
from scgx.cells.coordinates import from_table, genome_of, genome_order, with_columns
from scgx.errors import DataError
from scgx.h5ad.frame import Frame, categorical


def table(names: list[str], **columns: object) -> Frame:
    arrays = {
        name: values if hasattr(values, "codes") else np.array(values)
        for name, values in columns.items()
    }
    text = {
        n: a.astype(object) if getattr(a, "dtype", None) is not None and a.dtype.kind == "U" else a
        for n, a in arrays.items()
    }
    return Frame(np.array(names, dtype=object), text)


def test_columns_of_any_spelling_are_read() -> None:
    var = table(
        ["A", "B", "C"],
        chrom=categorical(["X", "chrX", None]),
        start=["5,840,637", "7", ""],
        end=["5,850,000", "9", ""],
        strand=["-1", "+", "."],
    )
    found = from_table(var).places
    assert found.chrom.tolist() == ["chrX", "chrX", None]
    assert found.start.tolist() == [5_840_637, 7, -1]
    assert found.strand.tolist() == ["-", "+", None]


def test_start_position_counts_from_one() -> None:
    var = table(["A"], chromosome_name=["1"], start_position=[11], end_position=[20])
    found = from_table(var, chrom_col="chromosome_name").places
    assert (found.start[0], found.end[0]) == (10, 20)


def test_another_column_is_named_and_not_guessed() -> None:
    with pytest.raises(DataError, match="found 'chromosome'.*--chrom-col chromosome"):
        from_table(table(["A"], chromosome=["X"]))
    with pytest.raises(DataError, match="no column 'nope'"):
        from_table(table(["A"], chromosome=["X"]), chrom_col="nope")


def test_peaks_are_placed_by_their_names_where_columns_say_nothing() -> None:
    var = table(
        ["chr1:5-9", "G1", "chr2-7-8"],
        feature_types=["Peaks", "Gene Expression", "Peaks"],
        chrom=categorical([None, "chr3", "chr2"]),
    )
    found = from_table(var)
    assert found.places.chrom.tolist() == ["chr1", "chr3", "chr2"]
    assert found.places.start.tolist() == [5, -1, 7]
    assert found.from_names == 2


def test_a_column_of_intervals_places_genes() -> None:
    var = table(["G1"], interval=["chr1:29553-30267"], feature_types=["Gene Expression"])
    assert from_table(var).places.start.tolist() == [29553]


def test_a_position_that_is_none_is_an_error_and_never_missing() -> None:
    with pytest.raises(DataError, match="'x1'"):
        from_table(table(["A"], chrom=["1"], start=["x1"], end=["5"]))
    with pytest.raises(DataError, match="behind their end"):
        from_table(table(["A"], chrom=["1"], start=[9], end=[5]))


def test_the_assembly_is_what_the_file_records() -> None:
    assert genome_of(table(["A"], genome=["GRCh38"]), None) == "GRCh38"
    assert genome_of(table(["A"]), "hg19") == "GRCh37"
    assert genome_of(table(["A"]), None) == ""


def test_order_is_by_place_within_each_modality_and_missing_comes_last() -> None:
    var = table(
        ["g1", "g2", "g3", "p1", "p2"],
        chrom=categorical(["chr2", None, "chr1", "chr1", "chrX"]),
        start=[5, -1, 9, 3, 1],
        end=[6, -1, 10, 4, 2],
    )
    kinds = np.array(["rna", "rna", "rna", "atac", "atac"], dtype=object)
    assert genome_order(from_table(var).places, kinds).tolist() == [2, 0, 1, 3, 4]


def test_written_columns_have_no_nan() -> None:
    kinds = np.array(["rna", "rna", "atac"], dtype=object)
    var = table(
        ["g1", "g2", "p1"],
        chrom=categorical(["10", None, "2"]),
        start=[5, -1, 3],
        end=[9, -1, 4],
        strand=categorical(["-", None, None]),
    )
    out = with_columns(var, from_table(var).places, kinds)
    assert out["chrom"].categories.tolist() == ["chr2", "chr10"]
    assert out.strings("chrom").tolist() == ["chr10", None, "chr2"]
    assert out["start"].tolist() == [5, -1, 3]
    assert out["tss"].tolist() == [8, -1, -1]


def test_features_of_two_spellings_lie_on_one_chromosome():
    names = np.array(["g1", "g2", "1:10-20", "chr1-30-40"], dtype=object)
    kinds = categorical(["Gene Expression", "Gene Expression", "Peaks", "Peaks"])
    chrom = np.array(["1", "chr1", "", ""], dtype=object)
    strand = np.array(["+", "-", "", ""], dtype=object)
    var = Frame(names, {"feature_types": kinds, "chrom": chrom, "strand": strand})
    var = var.with_column("start", np.array([5, 6, -1, -1]))
    var = var.with_column("end", np.array([9, 9, -1, -1]))
    genes = coordinates.features(var, np.array([0, 1]), "rna")
    peaks = coordinates.features(var, np.array([2, 3]), "atac")
    assert {*genes.chrom, *peaks.chrom} == {"chr1"}
    assert genes.tss.tolist() == [5, 8] and peaks.tss.tolist() == [-1, -1]
    assert peaks.start.tolist() == [10, 30]
