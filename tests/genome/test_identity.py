"""Which gene a feature is."""

from collections.abc import Sequence

import numpy as np
import pytest

from scgx.genome import identity
from scgx.genome.identity import AMBIGUOUS, BY_CASE, BY_ID, BY_SYMBOL, UNMATCHED, Index

TABLE = [  # key, symbol, chrom, start, end
    ("ENSG00000000001", "TP53", "chr17", 100, 200),
    ("ENSG00000000002", "Y_RNA", "chr1", 100, 200),
    ("ENSG00000000003", "Y_RNA", "chr2", 100, 200),
    ("ENSG00000000004", "DUP", "chr3", 100, 200),
    ("ENSG00000000005", "DUP", "chr3", 150, 250),
    ("ENSG00000000006", "CD99", "chrX", 100, 200),
    ("ENSG00000000006_PAR_Y", "CD99", "chrY", 100, 200),
    ("ENSG00000000007", "ALT", "chr5", 100, 200),
    ("ENSG00000000008", "ALT", "GL000008.2", 100, 200),
]


def index() -> Index:
    key, symbol, chrom, start, end = (np.array(c) for c in zip(*TABLE, strict=True))
    return Index(key.astype(object), symbol.astype(object), chrom.astype(object), (start, end))


def match(*names: str | None, ignore_case: bool = False) -> identity.Matched:
    column = np.array(names, dtype=object)
    return identity.match([column], index(), ignore_case=ignore_case)


@pytest.mark.parametrize(
    ("name", "row", "how"),
    [
        ("ENSG00000000001", 0, BY_ID),
        ("ENSG00000000001.19", 0, BY_ID),
        ("ENSG00000000001|TP53", 0, BY_ID),
        ("TP53|ENSG00000000001.2", 0, BY_ID),
        ("ENSG00000000001_TP53", 0, BY_ID),
        ("ENSG99999999999|TP53", 0, BY_SYMBOL),
        ("TP53", 0, BY_SYMBOL),
        ("ENSG00000000006.3", 5, BY_ID),
        ("ENSG00000000006.3_PAR_Y", 6, BY_ID),
        ("CD99", 5, BY_SYMBOL),
        ("DUP", 3, BY_SYMBOL),
        ("ALT", 7, BY_SYMBOL),
        ("Y_RNA", -1, AMBIGUOUS),
        ("FOO", -1, UNMATCHED),
        (None, -1, UNMATCHED),
    ],
)
def test_a_name_finds_its_gene_or_says_why_not(name: str | None, row: int, how: int) -> None:
    found = match(name)
    assert (found.row[0], found.how[0]) == (row, how)


def test_case_is_ignored_last_and_only_where_most_names_fit() -> None:
    assert match("tp53").how.tolist() == [UNMATCHED]
    assert match("tp53", ignore_case=True).how.tolist() == [BY_CASE]
    mostly: Sequence[str] = ("TP53", "DUP", "cd99")
    assert match(*mostly).how.tolist() == [BY_SYMBOL, BY_SYMBOL, BY_CASE]


def test_an_id_wins_over_a_symbol_in_another_column() -> None:
    ids = np.array(["ENSG00000000001.1", None], dtype=object)
    symbols = np.array(["DUP", "DUP"], dtype=object)
    found = identity.match([ids, symbols], index(), ignore_case=False)
    assert found.row.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("ENSG00000141510.19", "ENSG00000141510"),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378_PAR_Y"),
        ("ENSMUSG00000051951", "ENSMUSG00000051951"),
        ("B0019.1", "B0019.1"),
        ("AC012358.3", "AC012358.3"),
    ],
)
def test_only_versions_of_ensembl_ids_are_taken_off(name: str, bare: str) -> None:
    assert identity.without_version(name) == bare
