"""Bounds as text, and where they lie for given values."""

import numpy as np
import pytest

from scgx.cells.bounds import Bound, parse
from scgx.cells.qc import edge_of
from scgx.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("500", [("value", 500)]),
        ("1e3", [("value", 1000)]),
        (" q99.5 ", [("q", 99.5)]),
        ("mad5", [("mad", 5)]),
        ("IQR1.5,100", [("iqr", 1.5), ("value", 100)]),
    ],
)
def test_a_bound_is_a_number_or_how_to_find_one(text, bounds):
    assert parse(text, "--min-genes") == tuple(Bound(*bound) for bound in bounds)


@pytest.mark.parametrize("text", ["", "many", "-5", "q101", "sd2", "5,", "nan", "5%"])
def test_what_is_no_bound_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse(text, "--min-genes")


@pytest.mark.parametrize(
    ("text", "side", "edge"),
    [("q90", "max", 9.1), ("mad2", "max", 10.5), ("mad2", "min", 0.5), ("iqr1", "max", 12.25),
     ("iqr1", "min", -1.25)],
)  # fmt: skip
def test_fitted_bounds_are_those_of_numpy(text, side, edge):
    """1 to 10: median 5.5, quartiles 3.25 and 7.75, median deviation 2.5."""
    assert edge_of(np.arange(1.0, 11), *parse(text, ""), side) == pytest.approx(edge)
