"""Leading eigenvectors from products alone."""

import numpy as np
import pytest

from scgx.learn.subspace import leading


@pytest.mark.parametrize(("size", "rank"), [(300, 8), (12, 5), (9, 9), (40, 60)])
def test_they_are_those_of_the_whole_matrix(size: int, rank: int) -> None:
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    size_of = 0.9 ** np.arange(size)
    matrix = (basis * size_of) @ basis.T
    passes = []

    def times(v: np.ndarray) -> np.ndarray:
        passes.append(v.shape)
        return matrix @ v

    found = leading(times, size, rank, seed=0)
    kept = min(rank, size)
    np.testing.assert_allclose(found.values, size_of[:kept], rtol=1e-6)
    overlap = np.abs((found.vectors * basis[:, :kept]).sum(axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-5)
    assert len(passes) <= 5


def test_a_matrix_of_low_rank_is_no_trouble() -> None:
    x = np.random.default_rng(0).standard_normal((50, 2))
    found = leading(lambda v: x @ (x.T @ v), 50, 4, seed=0)
    np.testing.assert_allclose(found.values[:2], np.linalg.eigvalsh(x.T @ x)[::-1], rtol=1e-8)
    np.testing.assert_allclose(found.values[2:], 0, atol=1e-8)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(4), atol=1e-8)
