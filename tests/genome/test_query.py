"""Regions as people type them."""

import pytest

from scgx.errors import UsageError
from scgx.genome.query import END, Region, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X", [Region("X", 0, END, False)]),
        ("^MT", [Region("MT", 0, END, True)]),
        ("X, Y", [Region("X", 0, END, False), Region("Y", 0, END, False)]),
        ("chr1:1-5,000,000", [Region("chr1", 0, 5_000_000, False)]),
        ("chr1:1,000-2,000,22", [Region("chr1", 999, 2000, False), Region("22", 0, END, False)]),
        ("chr1:100", [Region("chr1", 99, END, False)]),
        ("chr1:100-", [Region("chr1", 99, END, False)]),
        ("chr1:-100", [Region("chr1", 0, 100, False)]),
        ("GL000008.2:5-9,^PAR", [Region("GL000008.2", 4, 9, False), Region("PAR", 0, END, True)]),
    ],
)
def test_regions_count_from_one_and_include_their_end(text: str, expected: list[Region]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "chr1:", "a:b", ",,", "chr1:5-1", "chr1:0-5", "^", "1:2:3"]
)
def test_what_is_no_region_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
