"""Every spelling of a chromosome is one chromosome, and nothing else is."""

import numpy as np
import pytest

from scgx.genome import chroms


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("X", "chrX"),
        ("chrX", "chrX"),
        ("ChrX", "chrX"),
        ("CHRX", "chrX"),
        ("x", "chrX"),
        ("NC_000023.11", "chrX"),
        ("NC_000023.10", "chrX"),
        ("CM000685.2", "chrX"),
        ("NC_000086.8", "chrX"),
        ("NC_000005.10", "chr5"),
        ("NC_000067.6", "chr1"),
        ("1", "chr1"),
        ("01", "chr1"),
        ("1.0", "chr1"),
        ("chr_1", "chr1"),
        ("chromosome 7", "chr7"),
        ("M", "chrM"),
        ("MT", "chrM"),
        ("chrMT", "chrM"),
        ("NC_012920.1", "chrM"),
        ("MtDNA", "chrM"),
        ("2L", "chr2L"),
        ("III", "chrIII"),
        ("Z", "chrZ"),
        ("chrX_random", "chrX_random"),
        ("chr1_KI270706v1_random", "chr1_KI270706v1_random"),
        ("chrUn_GL000195v1", "chrUn_GL000195v1"),
        ("GL000008.2", "GL000008.2"),
        ("KI270728.1", "KI270728.1"),
        ("scaffold4215_3", "scaffold4215_3"),
    ],
)
def test_a_name_has_one_spelling(spelled: str, expected: str) -> None:
    assert chroms.canonical(spelled) == expected


@pytest.mark.parametrize("name", ["ENSG00000141510", "foo", "TP53", "chrom", "1_100"])
def test_what_is_no_chromosome_is_not_recognised(name: str) -> None:
    assert chroms.canonical(name) is None


def test_a_mixed_column_becomes_one_spelling_and_says_what_was_odd() -> None:
    mixed = [
        "X",
        "chrX",
        "23",
        "NC_000023.11",
        "ChrX",
        "chrX_random",
        None,
        float("nan"),
        "foo",
        "",
    ]
    found = chroms.normalise(mixed)
    assert found.names.tolist() == ["chrX"] * 5 + ["chrX_random", None, None, "foo", None]
    assert found.unknown == {"foo": 1}
    assert found.renamed == {"23": "chrX"}


def test_numbers_of_any_type_are_chromosomes() -> None:
    assert chroms.normalise(np.array([1, 22, 23])).names.tolist() == ["chr1", "chr22", "chrX"]
    assert chroms.normalise(np.array([1.0, np.nan])).names.tolist() == ["chr1", None]


@pytest.mark.parametrize("others", [["chr1", "chr23"], ["1", "38"]])
def test_23_is_a_chromosome_where_the_species_has_so_many(others: list[str]) -> None:
    assert chroms.normalise([*others, "23"]).names[-1] == "chr23"
    assert chroms.resolve("23", ["chr1", "chr23"]) == "chr23"


def test_23_asked_for_is_x_unless_the_file_has_a_chromosome_23() -> None:
    assert chroms.resolve("23", ["chr1", "chrX"]) == "chrX"
    assert chroms.resolve("chrx", ["chr1", "chrX"]) == "chrX"
    assert chroms.resolve("NC_000023.11", ["chr1", "chrX"]) == "chrX"


def test_genome_order_is_numeric_with_sex_chromosomes_then_contigs_then_missing() -> None:
    names = np.array(
        [None, "GL000008.2", "chrM", "chr10", "chrY", "chr2", "chrX", "chr2L", "chr2"], dtype=object
    )
    start = np.array([-1, 0, 0, 5, 0, 9, 0, 0, 3])
    order = chroms.genome_order(names, start, start + 1)
    expected = ["chr2", "chr2", "chr10", "chr2L", "chrX", "chrY", "chrM", "GL000008.2", None]
    assert names[order].tolist() == expected
    assert start[order][:2].tolist() == [3, 9]
