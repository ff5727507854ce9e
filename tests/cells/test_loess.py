"""The trend under Seurat v3: what scikit-misc's loess says, and what any loess must."""

import numpy as np
import pytest

from scgx.cells.loess import loess
from scgx.errors import DataError


def test_it_says_what_dloess_says_with_ties():
    """61 points at 21 places; the numbers are those of scikit-misc 0.5.3 (span .3, degree 2)."""
    x = np.array([(i * 37 % 61) // 3 / 5 for i in range(61)])
    y = np.array([((i * 29 % 53) - 26) / 30 + (v - 2) ** 2 / 3 for i, v in enumerate(x)])
    said = [
        0.9871555879072853, -0.0738992889374083, 0.37261426424223637, 0.5878032966922815,
        0.08666666666666681, 0.9871555879072853, 0.02986263662685728, 0.43556279936459996,
        0.6583679898005665, 0.3505987183276232, 1.105769198232556, 0.02986263662685728,
    ]  # fmt: skip
    assert np.allclose(loess(x, y)[:12], said, rtol=0, atol=1e-12)


def test_a_quadratic_is_its_own_trend():
    x = np.random.default_rng(0).normal(size=200)
    assert np.allclose(loess(x, 3 - x + 2 * x**2), 3 - x + 2 * x**2, atol=1e-10)


def test_the_order_of_the_points_changes_no_bit():
    draw = np.random.default_rng(1)
    x = np.round(draw.normal(size=300), 1)
    y = draw.normal(size=300)
    order = draw.permutation(300)
    assert np.array_equal(loess(x, y)[order], loess(x[order], y[order]))


def test_half_of_the_points_in_one_place_are_no_obstacle():
    """dloess gives up there, as it does on the features of a few cells."""
    draw = np.random.default_rng(2)
    x = np.concatenate([np.zeros(300), draw.uniform(0, 3, 200)])
    smooth = loess(x, x + 0.01 * draw.normal(size=500))
    assert np.isfinite(smooth).all()
    assert np.abs(smooth - x).max() < 0.2


def test_two_places_make_no_trend():
    with pytest.raises(DataError, match="2 different means"):
        loess(np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0]))
