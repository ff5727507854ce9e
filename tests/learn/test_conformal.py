"""The bar of a coverage: the quantile it is, and that it holds for new cells."""

import numpy as np
import pytest

from scgx.errors import DataError
from scgx.learn import conformal


def test_new_cells_are_covered_as_often_as_asked() -> None:
    draw = np.random.default_rng(0)
    probability = draw.dirichlet(np.ones(5) * 0.5, 4_000).astype(np.float32)
    codes = np.array([draw.choice(5, p=p / p.sum()) for p in probability.astype(float)])
    for coverage in (0.5, 0.8, 0.95):
        least = conformal.bar(conformal.scores(probability[:2000], codes[:2000]), coverage)
        held = conformal.sets(probability[2000:], least)[np.arange(2000), codes[2000:]]
        assert held.mean() == pytest.approx(coverage, abs=0.025)


def test_a_cell_at_the_bar_is_in_its_set() -> None:
    probability = np.array([[0.1, 0.9], [0.3, 0.7], [0.6, 0.4]], dtype=np.float32)
    stored = conformal.scores(probability, np.array([1, 1, 1]))
    least = conformal.bar(stored, 0.75)
    assert conformal.sets(probability, least)[:, 1].all()
    assert conformal.bar(stored, 0.9) == 0
    with pytest.raises(DataError, match="3 validation cells cannot show"):
        conformal.bar_of({conformal.FINE: stored}, 0.9, coarse=False, name="m")
    with pytest.raises(DataError, match="no validation cells"):
        conformal.bar_of({}, 0.9, coarse=False, name="m")
