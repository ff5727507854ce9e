"""Which features a list of regions keeps."""

import numpy as np
import pytest

from scgx.errors import DataError
from scgx.genome.query import parse
from scgx.genome.regions import Selection, select

CHROM = np.array(["chr1", "chr1", "chr1", "chrX", "chrX", "chrY", "chrM", None], dtype=object)
START = np.array([0, 100, 200, 15_000, 50_000_000, 15_000, 5, -1])
LEN = np.array([100, 100, 0, 50, 50, 50, 50, 0])


def kept(text: str, genome: str = "GRCh38") -> list[int]:
    return np.flatnonzero(chosen(text, genome).keep).tolist()


def chosen(text: str, genome: str = "GRCh38") -> Selection:
    return select(parse(text), CHROM, START, START + LEN, genome=genome)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1", [0, 1, 2]),
        ("chr1:1-100", [0]),
        ("chr1:100-101", [0, 1]),
        ("chr1:101-200", [1]),
        ("chr1:201-201", [2]),
        ("X,MT", [3, 4, 6]),
        ("23", [3, 4]),
        ("^MT", [0, 1, 2, 3, 4, 5]),
        ("X,^X:1-20,000", [4]),
        ("X,^PAR", [4]),
        ("PAR", [3, 5]),
        ("PAR2", []),
    ],
)
def test_a_feature_that_overlaps_is_kept(text: str, rows: list[int]) -> None:
    assert kept(text) == rows


def test_order_of_wishes_does_not_matter() -> None:
    assert kept("^PAR,X") == kept("X,^PAR")


def test_what_is_left_out_or_shared_is_counted() -> None:
    found = chosen("X,Y,7")
    assert (found.missing, found.shared, found.empty) == (1, 2, ["7"])


def test_features_without_a_position_are_counted_when_positions_are_asked_for() -> None:
    chrom, nowhere = np.array(["chr1"], dtype=object), np.array([-1])
    assert select(parse("1"), chrom, nowhere, nowhere).keep.tolist() == [True]
    found = select(parse("1:1-10"), chrom, nowhere, nowhere)
    assert (found.keep.tolist(), found.unplaced) == ([False], 1)


def test_par_of_an_unknown_assembly_is_refused() -> None:
    with pytest.raises(DataError, match="PAR"):
        kept("PAR", genome="")
