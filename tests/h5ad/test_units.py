"""Units are told from values; sizes of memory from words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scgx.errors import UsageError
from scgx.h5ad.memory import default_memory, parse_memory
from scgx.h5ad.units import detect

COUNTS = np.random.default_rng(0).poisson(3.0, (50, 40)).astype(np.float64)
CP10K = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4

UNITS = {
    "counts": COUNTS,
    "binary": COUNTS > 2,
    "log1p-counts": np.log1p(COUNTS),
    "log1p-cp10k": np.log1p(CP10K),
    "scaled-counts": CP10K,
    "scaled": COUNTS - 3.01,
    "unknown": np.where(COUNTS == 2, np.nan, COUNTS),
}


def test_missing_values_are_ignored_when_asked() -> None:
    values = UNITS["unknown"].ravel()
    assert detect(iter([values]), ignore_missing=True) == "counts"


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_told_from_values(unit: str) -> None:
    values = UNITS[unit].ravel()
    assert detect(iter([values])) == unit
    assert detect(iter(np.array_split(values, 7))) == unit
    assert detect(iter([values.astype(np.float32)])) == unit


def test_nothing_stored_counts_as_counts() -> None:
    assert detect(iter([])) == "counts"
    assert detect(iter([np.zeros(9)])) == "counts"


@given(st.permutations(range(200)))
def test_the_order_of_values_changes_nothing(order: list[int]) -> None:
    values = np.log1p(CP10K).ravel()[:200]
    assert detect(iter([values[np.array(order)]])) == detect(iter([values]))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2 << 30),
        ("500M", 500 << 20),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("64 MB", 64 << 20),
        ("33554432", 32 << 20),
        ("1T", 1 << 40),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1G", "2 X", "1e9", "0", "15M", "nan", "2GG"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory(text)


def test_the_default_is_half_of_what_there_is() -> None:
    assert parse_memory(None) == default_memory()
    assert default_memory() > 64 << 20
