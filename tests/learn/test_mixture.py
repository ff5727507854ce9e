"""Mixtures: they find what is there, choose by rows held out, and draw what they were fitted to."""

import numpy as np
import pytest

from scgx.learn.library import Library
from scgx.learn.mixture import Mixture


def two_clouds(n: int, rng: np.random.Generator) -> np.ndarray:
    side = rng.random(n) < 0.3
    return rng.standard_normal((n, 2)) * 0.3 + np.where(side[:, None], 3.0, -1.0)


def test_two_clouds_need_two_components() -> None:
    rng = np.random.default_rng(0)
    points, held = two_clouds(600, rng), two_clouds(300, rng)
    one, two = (
        Mixture.fit([(points, 1)], most=n, lean=1, seed=0).log_density(0, held).mean()
        for n in (1, 2)
    )
    assert two > one + 0.5


def test_it_draws_what_it_was_fitted_to_group_by_group() -> None:
    rng = np.random.default_rng(0)
    points = [(two_clouds(900, rng), 1), (rng.standard_normal((50, 2)) + 9, 1)]
    mixture = Mixture.fit(points, most=4, lean=1, seed=0)
    drawn = mixture.draw(np.repeat([1, 0], 4000), np.random.default_rng(1))
    for part, (group, _each) in zip((drawn[4000:], drawn[:4000]), points, strict=True):
        np.testing.assert_allclose(part.mean(axis=0), group.mean(axis=0), atol=0.15)
        np.testing.assert_allclose(np.cov(part.T), np.cov(group.T), atol=0.35)


def test_depths_are_those_of_the_group_and_between_them() -> None:
    library = Library.of([np.array([5.0, 1.0, 3.0]), np.array([100.0])])
    drawn = library.draw(np.repeat([0, 1], 3000), np.random.default_rng(0))
    assert drawn[:3000].min() == 1 and drawn[:3000].max() == 5
    assert drawn[:3000].mean() == pytest.approx(3, abs=0.1)
    assert (drawn[3000:] == 100).all()
    np.testing.assert_allclose(library.quantile(0, np.array([1.0, 3.0, 5.0])), [1 / 6, 0.5, 5 / 6])
